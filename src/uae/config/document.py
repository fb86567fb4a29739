"""Documentation of the configuration: a JSON schema for editors and a table of keys for people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from uae.config.files import SCALES, scales
from uae.config.strict_yaml import read_yaml

# JSON schema's words for pydantic's bounds; pydantic does not translate them behind our validators
BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
HEAD = """# The keys of the configuration

Written by `uae config --keys`; the same for editors is `schema.json` (`uae config --schema`).
`config.yaml` holds what all scales share; `scales/*.yaml` hold the sizes. Later files win: `config.yaml`, the
scale that a scale `extends`, the scale's file, `--configfile`, `--config`. `<name>` stands for a name of your
choice. A key without a default must be given.
"""


def schema() -> dict[str, Any]:
    """The JSON schema of a configuration file. A file has some of the keys; a scale's may have `extends`."""
    from uae.config import Config

    found = Config.model_json_schema()
    alone = [name for name in scales() if "extends" not in read_yaml(SCALES / f"{name}.yaml")]
    found["properties"]["extends"] = {"enum": alone, "type": "string"}
    found["$defs"] = {_name(name): block for name, block in found["$defs"].items()}
    meanings = read_yaml(Path(__file__).with_name("keys.yaml"))
    for name, block in [("Config", found), *found["$defs"].items()]:
        for key, value in block.get("properties", {}).items():
            meaning = meanings.get(name, {}).get(key) or meanings["any"].get(key)
            if meaning:
                value["description"] = meaning
    found["title"] = "A configuration file of uae"
    return _partial(found)


def _name(name: str) -> str:
    """The name of a block. Two blocks of one name also have their module's name."""
    *parts, last = name.split("__")
    return f"{last} ({parts[-1]})" if parts else last


def _partial(node: Any) -> Any:
    """The schema with its bounds, but without required keys, titles of keys and long names."""
    if isinstance(node, list):
        return [_partial(value) for value in node]
    if not isinstance(node, dict):
        return node
    left = {
        BOUNDS.get(key, key): _partial(value)
        for key, value in node.items()
        if key != "required" and not _is_title(key, value)
    }
    if isinstance(reference := left.get("$ref"), str):
        left["$ref"] = "#/$defs/" + _name(reference.rpartition("/")[2])
    return left


def _is_title(key: str, value: Any) -> bool:
    return key == "title" and isinstance(value, str) and value != "A configuration file of uae"


def keys() -> str:
    """The keys in Markdown: a section per block, with each key's value, default and meaning."""
    found = schema()
    blocks = [("At the top", found), *sorted(found["$defs"].items())]
    return HEAD + "".join(f"\n{_section(*block)}" for block in blocks if "properties" in block[1])


def _section(name: str, block: dict[str, Any]) -> str:
    lines = [f"## {name}", "", *_meaning(block)]
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, value in block["properties"].items():
        default = f"`{json.dumps(value['default'])}`" if "default" in value else ""
        lines.append(f"| `{key}` | {_type(value)} | {default} | {value['description']} |")
    return "\n".join(lines) + "\n"


def _meaning(block: dict[str, Any]) -> Iterator[str]:
    if "description" in block:
        yield " ".join(block["description"].split())
        yield ""


def _type(value: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{re.sub('[^a-z0-9 ]', '', name.lower()).replace(' ', '-')})"
    if "anyOf" in value:
        return " or ".join(_type(option) for option in value["anyOf"])
    if "enum" in value or "const" in value:
        return ", ".join(f"`{option}`" for option in value.get("enum", [value.get("const")]))
    kind = value.get("type", "any")
    if kind == "array":
        return f"list: {_type(value['items'])}" if "items" in value else "list"
    if kind == "object":
        return (
            f"`<name>`: {_type(value['additionalProperties'])}"
            if isinstance(value.get("additionalProperties"), dict)
            else "mapping"
        )
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    # The largest bounds only stop typing errors; readers do not need them
    words = {"minimum": "from", "exclusiveMinimum": "above"}
    low = [f" {word} {value[key]:g}" for key, word in words.items() if value.get(key, -1) >= 0]
    return names.get(kind, kind) + "".join(low)
