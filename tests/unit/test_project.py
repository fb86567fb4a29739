"""What the project says of itself: pins, README."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import uae

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = [d for group in PROJECT["optional-dependencies"].values() for d in group]
NAMED = [Requirement(d) for d in PROJECT["dependencies"] + EXTRAS]
DIRECT = [d for d in NAMED if d.name != PROJECT["name"]]  # `workflow` has what the extra `cli` has


def locked() -> list[list[str]]:
    """Each pin of requirements.txt and the options after it."""
    lines = (ROOT / "requirements.txt").read_text().replace("\\\n", "").splitlines()
    return [re.split(r"\s+(?=--)", line.strip()) for line in lines if line and not line.startswith("#")]


def pins() -> list[Requirement]:
    return [Requirement(line[0]) for line in locked()]


def test_requirements_are_exact_pins_within_the_ranges_with_hashes_and_name_no_address():
    assert "://" not in (ROOT / "requirements.txt").read_text()
    for pin, *hashes in locked():
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for option in hashes), pin
    by_name: dict[str, list[Requirement]] = {}
    for pin in pins():
        assert re.fullmatch(r"==[^,*]+", str(pin.specifier)), pin
        by_name.setdefault(pin.name.lower(), []).append(pin)
    for wanted in DIRECT:
        for pin in by_name[wanted.name.lower()]:
            assert wanted.specifier.contains(str(pin.specifier)[2:]), f"{pin} is not in {wanted}"


def test_a_type_checker_sees_the_names_that_are_loaded_on_first_use():
    """It took each of them for Any, although the package carries its types."""
    (block,) = (node for node in ast.parse(Path(uae.__file__).read_text()).body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    typed = {alias.name: node.module for node in imports for alias in node.names}
    assert typed == uae._HOMES | {"losses": "uae", "models": "uae"}
    assert set(typed) == set(uae.__all__)


def test_the_conda_environment_has_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(d for d in environment["dependencies"] if isinstance(d, str) and d.startswith("python "))
    version = {
        "python_full_version": python.partition("=")[2] + ".0",
        "python_version": python.partition("=")[2],
    }
    listed = {
        Requirement(d).name.lower(): str(Requirement(d).specifier)
        for d in environment["dependencies"][-1]["pip"]
    }
    expected = {
        p.name.lower(): str(p.specifier) for p in pins() if p.marker is None or p.marker.evaluate(version)
    }
    assert listed == {d.name.lower(): expected[d.name.lower()] for d in DIRECT}


def test_the_constraints_that_make_takes_from_the_pins_are_all_of_them_without_hashes(tmp_path):
    """The line of the Makefile, as make gives it to the shell."""
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "constraints.txt" in line)
    command = line.strip().replace("$$", "$").replace(".venv-render/", f"{tmp_path}/")
    subprocess.run(command, shell=True, cwd=ROOT, check=True)
    lines = (tmp_path / "constraints.txt").read_text().splitlines()
    assert [str(Requirement(line)) for line in lines] == [str(pin) for pin in pins()]


def test_torch_is_wanted_from_2_11_on():
    torch = next(d for d in DIRECT if d.name == "torch")
    assert torch.specifier.contains("2.11.0") and not torch.specifier.contains("2.10.0")


def test_the_version_is_the_same_wherever_it_stands():
    """pyproject.toml has it; the package and the command ask the installed package."""
    version = PROJECT["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    released = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0].split()[0] == version
    assert "__version__ =" not in (ROOT / "src" / "uae" / "__init__.py").read_text()
    assert uae.__version__ == metadata.version(PROJECT["name"])


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_of_the_forge_runs_what_there_is(path):
    """Each `make` in it has its targets; triggers, permissions and time limits are there."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow[True] and workflow["permissions"] == {"contents": "read"}  # YAML reads `on` as true
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)) | {"make"}
    commands = []
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        commands += [step["run"] for step in job["steps"] if "run" in step]
    assert any(command.startswith("make") for command in commands)
    for command in commands:
        words = [word for word in shlex.split(command) if "=" not in word]
        assert command.startswith("pip install uv") or set(words) <= known, command


def test_the_workflow_tests_every_python_that_the_package_is_for():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    tested = workflow["jobs"]["fast"]["strategy"]["matrix"]["python"]
    assert tested == ["3.11", "3.12", "3.13"] and PROJECT["requires-python"] == ">=3.11"


def test_the_hooks_before_a_commit_are_tools_of_the_lock():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    tools = {hook["entry"].split()[0] for hook in repository["hooks"]}
    assert tools == {".venv/bin/ruff", ".venv/bin/snakefmt", ".venv/bin/codespell"}
    assert {Path(tool).name for tool in tools} <= {pin.name for pin in pins()}


def test_forms_for_issues_are_whole():
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        assert {"name", "description", "body"} <= set(form), path
        assert all(field["attributes"]["label"] for field in form["body"]), path


def test_the_layers_hold():
    """The contracts of pyproject.toml, on the import graph."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_folders_of_the_tests_are_those_of_the_package():
    unit = ROOT / "tests" / "unit"
    folders = [path.parent.relative_to(unit) for path in unit.rglob("__init__.py")]
    assert len(folders) > 10
    for folder in folders:
        assert (ROOT / "src" / "uae" / folder / "__init__.py").is_file(), folder
