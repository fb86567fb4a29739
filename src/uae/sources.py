"""The source files of a module: the modules of this package that it imports, and their data files.

The workflow's rules take them as inputs, so an edit reruns only the jobs that use the file. The import graph
is read from the source text without any import, so rules that render need no torch.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parent
NAME = re.compile(r"""["']([A-Za-z0-9][A-Za-z0-9._-]*)["']""")  # a string that may name a file

IMPORT = re.compile(
    r"^([ \t]*)(from uae[\w.]* import (?:\((?:[^)#]|#.*)*\)|[^(\n]+)|import uae[^\n]*)", re.MULTILINE
)
FOR_TYPES = re.compile(r"^([ \t]*)if (?:typing\.)?TYPE_CHECKING:\n(?:\1[ \t]+.*\n|[ \t]*\n)*", re.MULTILINE)

# These modules affect no number: texts of errors, reading and writing of whole files, provenance, resuming.
# An edit of one reruns nothing; tests guard them.
WITHOUT_NUMBERS = {
    "uae.bundle",
    "uae.errors",
    "uae.identity",
    "uae.locks",
    "uae.records",
    "uae.stages",
    "uae.stages.evaluate",
    "uae.stages.resume",
    "uae.storage",
}


def of(*modules: str) -> list[str]:
    """The sorted source files of modules such as `uae.stages.train`, relative to the working directory.

    Imports inside functions count; imports for type checking do not. A name that a package only re-exports
    leads to the module that defines it, not to the rest of the package.
    Raises ModuleNotFoundError for an unknown module.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found and module not in WITHOUT_NUMBERS:
            found.add(module)
            waiting += _imported(module)
    paths = {path for module in found for path in [_file(module), *_data(module)]}
    here = Path.cwd()
    return sorted(str(path.relative_to(here) if path.is_relative_to(here) else path) for path in paths)


@functools.cache
def _file(module: str) -> Path:
    """The file of a module of this package."""
    path = _where(module)
    if path is None:
        raise ModuleNotFoundError(f"no module {module!r} in {PACKAGE}")
    return path


def _where(module: str) -> Path | None:
    root, *parts = module.split(".")
    path = PACKAGE.joinpath(*parts)
    candidates = (path.with_suffix(".py"), path / "__init__.py") if parts else (path / "__init__.py",)
    return next((p for p in candidates if p.exists()), None) if root == "uae" else None


class Import(NamedTuple):
    """`from module import name as known`, or `import module` without a name.  outer: at the top level."""

    module: str
    name: str | None
    known: str
    outer: bool


@functools.cache
def _imports(module: str) -> tuple[Import, ...]:
    """The imports from this package that run. Snakemake reads all modules at each start: a regular expression
    finds the statements in a tenth of the time that a parser takes for a module."""
    text = FOR_TYPES.sub("", _file(module).read_text(encoding="utf-8"))
    found = []
    for indent, statement in IMPORT.findall(text):
        (node,) = ast.parse(statement).body
        assert isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names:
            source, name = (alias.name, None) if isinstance(node, ast.Import) else (node.module, alias.name)
            found.append(Import(str(source), name, alias.asname or alias.name, not indent))
    return tuple(found)


@functools.cache
def _imported(module: str) -> frozenset[str]:
    """The modules of this package that a module imports, re-exports resolved."""
    found = {i.module if i.name is None else _defining(i.module, i.name) for i in _imports(module)}
    return frozenset(found - {"uae"})  # `uae` itself loads its names on first use


def _defining(module: str, name: str) -> str:
    """The module that defines `name` of `module`: the name may be a module itself, or a re-export."""
    if _where(f"{module}.{name}"):
        return f"{module}.{name}"
    for i in _imports(module):
        if i.outer and i.name and i.known == name:
            return _defining(i.module, i.name)
    return module


@functools.cache
def _data(module: str) -> tuple[Path, ...]:
    """The data files that a module names: files beside it, and all files in folders beside it."""
    path = _file(module)
    found = []
    for name in set(NAME.findall(path.read_text(encoding="utf-8"))):
        named = path.with_name(name)
        if named.is_file() and named.suffix != ".py":
            found.append(named)
        elif named.is_dir() and not any((named / code).exists() for code in ("__init__.py", "__pycache__")):
            found += [file for file in named.rglob("[!.]*") if file.is_file()]
    return tuple(found)
