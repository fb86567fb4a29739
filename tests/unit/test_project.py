"""What the project says of itself: pins, README."""

import re
import subprocess
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

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
