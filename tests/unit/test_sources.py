"""The files behind a module: a small package with a known import graph, and the layers of this one."""

import ast
from pathlib import Path

import pytest

from uae import sources
from uae.config import ROOT

CODE = ROOT / "src" / "uae"

PACKAGE = {
    "__init__.py": "",
    "top.py": """
        from __future__ import annotations
        import os
        from typing import TYPE_CHECKING
        from uae.pack import (                       # (the package)
            shared,  # its module :)
            thing,   # passed on by the package
        )
        from uae.pack import own as renamed         # defined in the package itself
        if TYPE_CHECKING:
            from uae.only_types import Type
        def later():
            from uae import lazy
            import uae.deep.module
    """,
    "lazy.py": "from uae.circle import x",
    "circle.py": "from uae import lazy\nx = 1",
    "only_types.py": "class Type: ...",
    "errors.py": "from uae import unused",         # without numbers: not followed
    "unused.py": "",
    "pack/__init__.py": "from uae.pack.defining import thing\nfrom uae.pack.heavy import other\nown = 1",
    "pack/defining.py": "from uae import errors\nTABLE = 'table.yaml'\nFOLDER = \"numbers\"\nthing = 1",
    "pack/heavy.py": "other = 1",
    "pack/shared.py": "",
    "pack/table.yaml": "",
    "pack/unnamed.yaml": "",
    "pack/numbers/a.csv": "",
    "pack/numbers/.hidden": "",
    "deep/module.py": "",
}  # fmt: skip


@pytest.fixture
def package(tmp_path, monkeypatch):
    for name, text in PACKAGE.items():
        path = tmp_path / "uae" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.splitlines()
        path.write_text("\n".join(line[8:] if line.startswith(" " * 8) else line for line in lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "PACKAGE", tmp_path / "uae")
    caches = [sources._file, sources._imports, sources._imported, sources._data]
    for cache in caches:
        cache.cache_clear()
    yield tmp_path / "uae"
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize(
    ("module", "behind"),
    [
        ("uae.pack.shared", []),
        ("uae.lazy", ["circle.py"]),
        ("uae.pack.defining", ["pack/table.yaml", "pack/numbers/a.csv"]),
        (
            "uae.top",
            ["circle.py", "deep/module.py", "lazy.py", "pack/defining.py", "pack/numbers/a.csv",
             "pack/shared.py", "pack/table.yaml", "pack/__init__.py", "pack/heavy.py"],
        ),
    ],
)  # fmt: skip
def test_the_files_behind_a_module(package, module, behind):
    own = module.removeprefix("uae.").replace(".", "/") + ".py"
    assert sources.of(module) == sorted(f"uae/{name}" for name in [own, *behind])


def test_a_name_that_a_package_passes_on_leads_past_the_package(package):
    (package / "user.py").write_text("from uae.pack import thing")
    assert sources.of("uae.user") == [
        "uae/pack/defining.py", "uae/pack/numbers/a.csv", "uae/pack/table.yaml", "uae/user.py",
    ]  # fmt: skip


def test_a_module_that_is_none(package):
    with pytest.raises(ModuleNotFoundError, match=r"no module 'uae\.nothing'"):
        sources.of("uae.nothing")


def behind(*modules: str) -> set[str]:
    return {Path(path).relative_to(CODE).as_posix() for path in map(ROOT.joinpath, sources.of(*modules))}


def imports(path: Path) -> set[str]:
    """The first words of all modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_the_imports_of_every_module_are_those_of_the_syntax_tree():
    for path in sorted(CODE.rglob("*.py")):
        module = ".".join(("uae", *path.relative_to(CODE).with_suffix("").parts)).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        for_types = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
        nodes = [node for node in ast.walk(tree) if id(node) not in for_types]
        expected = {(n.module, a.name) for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}
        expected |= {(a.name, None) for n in nodes if isinstance(n, ast.Import) for a in n.names}
        found = {(i.module, i.name) for i in sources._imports(module)}
        assert found == {(m, n) for m, n in expected if m.split(".")[0] == "uae"}, module


def test_what_renders_is_without_torch():
    modules = [f"uae.paper.{path.stem}" for path in CODE.glob("paper/[a-z]*.py")]
    modules += [f"uae.paper.figures.{path.stem}" for path in CODE.glob("paper/figures/[a-z_]*.py")]
    files = behind(*modules, "uae.config", "uae.sources")
    assert len(files) > 30
    assert not [name for name in files if name.endswith(".py") and "torch" in imports(CODE / name)]


def test_the_package_never_imports_the_workflow():
    assert not [path for path in CODE.rglob("*.py") if {"snakemake", "workflow"} & imports(path)]


@pytest.mark.parametrize(
    ("stage", "used", "not_used"),
    [
        ("uae.stages.train", ["training/loop.py", "augmentation.py", "models/simclr.py", "attacks/result.py"],
         ["attacks/minmax.py", "mine/engines/numba.py", "losses.py", "paper/tables.py"]),
        ("uae.stages.attack", ["mine/engines/numba.py", "attacks/minmax.py", "sampling.py", "losses.py"],
         ["training/loop.py", "evaluation/reconstruction.py"]),
        ("uae.stages.evaluate.autoencoders", ["evaluation/reconstruction.py", "attacks/result.py"],
         ["training/loop.py", "mine/engines/numba.py", "attacks/minmax.py"]),
        ("uae.paper.figures.figure2", ["paper/figures/figure2.py", "paper/figures/styles/paper.mplstyle"],
         ["paper/figures/figure3.py", "paper/tables.py"]),
        ("uae.paper.formats", ["paper/tables.yaml", "paper/reference/table4.csv", "paper/perturbation.py"],
         ["paper/figures/__init__.py", "paper/report.py"]),
    ],
)  # fmt: skip
def test_a_stage_has_what_it_uses_and_nothing_else(stage, used, not_used):
    found = behind(stage)
    assert set(used) <= found
    assert not set(not_used) & found
