"""SOURCES of the workflow: a stage reruns after an edit of whatever its module imports."""

import ast
from pathlib import Path

import pytest

from uae.config import ROOT

CODE = ROOT / "src" / "uae"
TEXT = (ROOT / "workflow" / "rules" / "common.smk").read_text()
NAMES: dict = {}
exec(TEXT[TEXT.index("COMMON = [") : TEXT.index("\n}\n", TEXT.index("SOURCES = {")) + 3], NAMES)
# They decide on no number: reading and writing, the text of errors, provenance, names of settings.
NO_NUMBERS = {
    "__init__.py",
    "config/__init__.py",
    "errors.py",
    "identity.py",
    "records.py",
    "stages/resume.py",
    "storage.py",
}
# What a module holds for another stage than this one
OTHERS = {
    "classifier": {"attacks", "evaluation/robustness.py", "losses.py", "mine", "sampling.py"},
    "supervised": {"training"},
    "attack-simclr": {"evaluation", "losses.py", "stages/evaluate.py", "training"},
    "evaluate-simclr": {"stages/generate.py"},
    "generate": {"evaluation/stationarity.py"},
    "train": {"attacks", "augment.py"},  # the originals: no examples
    "train_robust": {
        "attacks",
        "evaluation/robustness.py",
        "intervals.py",
        "losses.py",
        "mine",
        "sampling.py",
    },
    "attack_robust": {"augment.py", "training", "upstream.py"},
}
MODULES = {
    "train": "train", "retrain": "train", "generate": "generate", "evaluate": "evaluate",
    "attack-simclr": "contrastive", "evaluate-simclr": "contrastive", "classifier": "classifier",
    "supervised": "classifier", "measure": "supervised", "train_robust": "robustness",
    "attack_robust": "robustness",
}  # fmt: skip


def module(name: str) -> str | None:
    """The file of a module of uae in src/uae, None for what is no module."""
    path = CODE.joinpath(*name.split(".")[1:])
    found = next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.exists()), None)
    return found and found.relative_to(CODE).as_posix()


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "uae":
            found |= {module(f"{node.module}.{alias.name}") or module(node.module) for alias in node.names}
    return found - {None}


@pytest.mark.parametrize("stage", MODULES)
def test_a_stages_sources_hold_what_its_module_imports(stage):
    listed = NAMES["SOURCES"][stage]
    assert len(set(listed)) == len(listed) and all((CODE / name).exists() for name in listed)
    needed = imported(CODE / "stages" / f"{MODULES[stage]}.py") - NO_NUMBERS
    assert needed, "nothing was compared"
    for name in sorted(needed):
        held = {name, *(str(parent) for parent in Path(name).parents)} & {*listed, *OTHERS.get(stage, ())}
        # Of the attacks a stage may need what reads their results alone
        assert held or (name == "attacks/__init__.py" and "attacks/result.py" in listed), (
            f"{stage}: {name} is missing"
        )
