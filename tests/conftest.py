"""One thread a test process: the tests are many small computations, run side by side."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)
# The commands that tests start compile the package once, not in each process.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Before Triton's first import: without a GPU its interpreter runs the kernels, in NumPy.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Folders and files of tests that take minutes: `make test-fast` leaves them out, `make test` runs everything.
SLOW = {
    "e2e",
    "test_adversarial.py",
    "test_answers.py",
    "test_attack_resume.py",
    "test_attack_threads.py",
    "test_bundle.py",
    "test_cli.py",
    "test_containers.py",
    "test_docs.py",
    "test_figures.py",
    "test_filling.py",
    "test_gpus.py",
    "test_hostile_arrays.py",
    "test_hostile_models.py",
    "test_hostile_raw_files.py",
    "test_identity.py",
    "test_numba.py",
    "test_known_information.py",
    "test_latex.py",
    "test_library.py",
    "test_notebook.py",
    "test_own_model.py",
    "test_paper.py",
    "test_parity.py",
    "test_penalty.py",
    "test_performance.py",
    "test_robust_stages.py",
    "test_setup.py",
    "test_simclr_stages.py",
    "test_simclr_training.py",
    "test_supervised.py",
    "test_triton.py",
    "workflow",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if SLOW & set(_parts(item)):
            item.add_marker("slow")
    # Files that take minutes first, so that no process has one left when the other is done
    items.sort(key=lambda item: not {"e2e", "workflow"} & set(_parts(item)))


def _state() -> dict[str, object]:
    mask = os.umask(0)
    os.umask(mask)
    return {"umask": mask, "folder": Path.cwd()}


@pytest.fixture(autouse=True)
def process_state() -> Iterator[None]:
    """Commands run in the tests' process: a change of its state would affect every later test."""
    before = _state()
    yield
    assert _state() == before


def _parts(item: pytest.Item) -> tuple[str, ...]:
    return item.path.relative_to(Path(__file__).parents[1]).parts


@pytest.fixture(params=[1, 3])
def shared(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread, and three that share a call's work."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)
