"""`make` with PyTorch from an index that the user names: a server on this machine, wheels without content."""

import functools
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).parents[2]


def wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel that holds an empty module."""
    about = f"{name}-{version}.dist-info"
    path = folder / name / f"{name}-{version}-py3-none-any.whl"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}/__init__.py", "")
        # Without --no-deps an installer would ask for it
        needs = "Requires-Dist: nvidia-cublas==1.0\n"
        file.writestr(
            f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
        )
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    return path


@pytest.fixture
def project(tmp_path):
    """What `make` needs, with a lock of four packages; setuptools, which the lock has, is lent."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    lock = ["torch==9.9", "torchvision==8.8", "triton==7.7 ; sys_platform == 'linux'", "nvidia-cublas==1.0"]
    (folder / "requirements.txt").write_text(
        "".join(f"{pin} \\\n    --hash=sha256:{64 * '0'}\n" for pin in lock)
    )
    lent = tmp_path / "lent"
    lent.mkdir()
    for path in Path(setuptools.__file__).parents[1].glob("*"):
        if path.name in ("setuptools", "_distutils_hack") or path.name.startswith("setuptools-"):
            (lent / path.name).symlink_to(path)
    return folder


def make(folder: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "MAKE"))}
    return subprocess.run(
        ["make", "-s", ".venv/installed", f"PYTHON={sys.executable}", *variables],
        cwd=folder,
        # This machine's own settings of installers do not count.
        env=environment
        | {"PYTHONPATH": str(folder.parent / "lent"), "PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1"}
        | {"PIP_RETRIES": "0", "UV_HTTP_RETRIES": "0"},
        capture_output=True,
        text=True,
        check=False,
    )


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def index(tmp_path):
    """The address of an index with CPU builds of the lock's PyTorch and torchvision."""
    folder = tmp_path / "index"
    for name, version in (("torch", "9.9+cpu"), ("torchvision", "8.8+cpu")):
        file = wheel(folder, name, version)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        (file.parent / "index.html").write_text(f'<a href="{file.name}#sha256={digest}">{file.name}</a>')
    handler = functools.partial(Silent, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


INSTALLERS = {
    "uv": pytest.param((), marks=pytest.mark.skipif(not shutil.which("uv"), reason="no uv on this machine")),
    "pip": pytest.param(("UV=",)),
}


@pytest.mark.parametrize("installer", INSTALLERS.values(), ids=INSTALLERS)
def test_make_takes_pytorch_from_the_index_and_no_cuda_package(installer, project, index):
    done = make(project, f"TORCH_INDEX={index}", *installer)
    assert done.returncode == 0, done.stdout + done.stderr
    (site,) = (project / ".venv" / "lib").glob("python*/site-packages")
    assert {path.name for path in site.glob("*torch*.dist-info")} == {
        "torch-9.9+cpu.dist-info",
        "torchvision-8.8+cpu.dist-info",
    }
    assert not [*site.glob("nvidia*"), *site.glob("triton*")]
    assert (project / ".venv" / "bin" / "uae").exists()


def test_make_says_in_a_line_that_the_index_is_not_there(project, index):
    closed = "http://127.0.0.1:1"
    done = make(project, f"TORCH_INDEX={closed}")
    assert done.returncode != 0 and not (project / ".venv" / "installed").exists()
    ours = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(ours) == 1 and f"TORCH_INDEX={closed}: torch==9.9 torchvision==8.8" in ours[0], done.stderr


def test_without_an_index_the_whole_lock_is_installed_with_its_hashes(project):
    plan = subprocess.run(
        ["make", "-n", ".venv/installed"], cwd=project, capture_output=True, text=True, check=True
    )
    assert "--no-deps -r requirements.txt" in plan.stdout and "--index-url" not in plan.stdout


def test_what_is_left_of_the_lock_is_all_but_pytorch_and_its_cuda_packages(project, index):
    """The Makefile's own filter, on the project's lock: pins with their hashes, whole."""
    shutil.copy(ROOT / "requirements.txt", project)
    (project / ".venv").mkdir()
    line = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "@awk" in line)
    subprocess.run(line.strip().removeprefix("@"), shell=True, cwd=project, check=True)
    before, after = (
        {
            block.partition("==")[0]: block
            for block in ("\n" + text).replace("\n    ", "    ").split("\n")[1:]
            if block
        }
        for text in (
            (ROOT / "requirements.txt").read_text(),
            (project / ".venv/requirements.txt").read_text(),
        )
    )
    gone = set(before) - set(after)
    assert {"torch", "torchvision", "triton", "nvidia-cublas"} <= gone
    assert all(name.startswith(("nvidia-", "cuda-")) for name in gone - {"torch", "torchvision", "triton"})
    assert {"torch-fidelity", "torchmetrics", "numpy"} <= set(after)
    assert after == {name: before[name] for name in after}
