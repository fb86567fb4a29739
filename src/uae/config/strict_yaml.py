"""YAML for configurations. It refuses what PyYAML accepts silently, such as a key that is given twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from uae.errors import ConfigError
from uae.shipped import LOADER

LARGEST_FILE = 256 * 1024  # bytes
DEEPEST, MOST = 30, 50_000  # the most levels, and the most values after all aliases are expanded
_TAG = "tag:yaml.org,2002:"
TAGS = {_TAG + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map")}
# YAML 1.1 reads 010 as eight and 1:30 as ninety
SURPRISING = re.compile(r"[-+]?0[0-9_]+|.*:.*")


class _Flaw(yaml.MarkedYAMLError):
    def __init__(self, node: Node | yaml.Event, problem: str):
        mark: Any = node.start_mark  # PyYAML's or libyaml's
        super().__init__(problem=problem, problem_mark=mark)


def _load(text: str) -> Any:
    """The content of a text that has passed all checks."""
    _check_depth(text)
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, {}, ())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_depth(text: str) -> None:
    """Raise _Flaw for values nested too deep: the composer is recursive and must not see them."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth >= DEEPEST:
            raise _Flaw(event, f"nested deeper than {DEEPEST} levels")


def _check(node: Node, known: dict[Node, tuple[int, int]], above: tuple[Node, ...]) -> tuple[int, int]:
    """The number of values and of levels of a node, with aliases expanded. Raises _Flaw."""
    if node in above:
        raise _Flaw(node, "an alias within the value that it stands for")
    if node in known:
        return known[node]
    if node.tag not in TAGS:
        raise _Flaw(node, f"the tag {node.tag.removeprefix(_TAG)!r} is not allowed here")
    size, depth = 1, 1
    if isinstance(node, ScalarNode):
        if node.tag in (_TAG + "int", _TAG + "float") and SURPRISING.fullmatch(node.value):
            raise _Flaw(node, f"{node.value} means another number in YAML; write that, or put it in quotes")
    else:
        if isinstance(node, MappingNode):
            _check_keys(node)
        children = [pair[1] for pair in node.value] if isinstance(node, MappingNode) else node.value
        for child in children:
            inner_size, inner_depth = _check(child, known, (*above, node))
            size, depth = size + inner_size, max(depth, 1 + inner_depth)
        if size > MOST or depth > DEEPEST:
            raise _Flaw(node, f"its aliases stand for more than {MOST:,} values or {DEEPEST} levels")
    known[node] = size, depth
    return size, depth


def _check_keys(node: MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if key.tag not in (_TAG + "str", _TAG + "merge"):
            given = key.value if isinstance(key, ScalarNode) else "a list or mapping"
            raise _Flaw(key, f"a key must be text, given {given}; put it in quotes")
        if key.value in seen:
            raise _Flaw(key, f"the key {key.value!r} is given twice")
        seen.add(key.value)


def _clearer(text: str, error: yaml.YAMLError) -> yaml.YAMLError:
    """The error of PyYAML's own parser instead of libyaml's: at the end of a file it names a better line."""
    if isinstance(error, _Flaw):
        return error
    try:
        for _ in yaml.parse(text, Loader=yaml.SafeLoader):
            pass
    except yaml.YAMLError as found:
        return found
    return error


def _in_words(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):  # an invalid character
        return " ".join(str(error).split())
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}: {error.problem}" if mark else str(error.problem)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the mapping in a file. Raises ConfigError with one line that names the file and the mistake."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path}: not a file")
        if path.stat().st_size > LARGEST_FILE:
            raise ConfigError(f"{path}: larger than a configuration may be, {LARGEST_FILE // 1024} KiB")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid YAML: no UTF-8 text at byte {error.start}") from None
    try:
        content = _load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {_in_words(_clearer(text, error))}") from None
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:  # an invalid value
        reason = str(error).partition(";")[0]
        raise ConfigError(f"{path}: not valid YAML: a value is not what its tag says ({reason})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values")
    return content
