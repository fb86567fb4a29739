"""Read the configuration's files, and find the file and key of a mistake."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from uae.config.strict_yaml import read_yaml
from uae.config.values import NAME, NAME_RULE, short
from uae.errors import ConfigError

ROOT = Path(__file__).parents[3]
BASE = ROOT / "config" / "config.yaml"
SCALES = ROOT / "config" / "scales"


def scale_file(scale: Any) -> Path:
    """config/scales/<scale>.yaml, or the path itself. Its stem is a folder's name under results/."""
    scale = str(scale)
    is_path = scale.endswith((".yaml", ".yml"))
    path = Path(scale) if is_path else SCALES / f"{scale}.yaml"
    known = scales()
    if is_path and not NAME.fullmatch(path.stem):
        raise ConfigError(f"scale: {short(scale)} names a folder under results/: {NAME_RULE}")
    if not (NAME.fullmatch(path.stem) and (is_path or NAME.fullmatch(scale)) and _exists(path)):
        raise ConfigError(
            f"scale: {short(scale)} is neither one of {', '.join(known)} nor the path of a scale file"
        )
    if path.stem in known and path.resolve().parent != SCALES.resolve():
        raise ConfigError(
            f"scale: {scale} would write to results/{path.stem}, as config/scales/{path.name} does: rename it"
        )
    return path


def scale_name(scale: str) -> str:
    """The name of a scale that is given by name or by its file: its folder under results/."""
    return Path(scale).stem if scale.endswith((".yaml", ".yml")) else scale


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long
        return False


def scale_layers(path: Path) -> dict[Path, dict[str, Any]]:
    """The settings of a scale's file, then those of the scale that it extends, by file. The first wins."""
    settings = read_yaml(path)
    if "scale" in settings:
        raise ConfigError(f"{path}: scale: this file is the scale; `extends` names one that it builds on")
    if "extends" not in settings:
        return {path: settings}
    name, known = settings.pop("extends"), scales()
    if name not in known:
        raise ConfigError(f"{path}: extends: {short(name)} is none of {', '.join(known)}")
    extended = SCALES / f"{name}.yaml"
    other = read_yaml(extended)
    if "extends" in other:
        raise ConfigError(f"{path}: extends: {name} extends a scale itself; name one that stands alone")
    return {path: settings, extended: other}


def scales() -> list[str]:
    """The names of the scales that come with the package."""
    return sorted(path.stem for path in SCALES.glob("*.yaml"))


def own_files(files: Iterable[str | Path]) -> list[Path]:
    """The YAML files of `--configfile`, the winner first. JSON has no aliases or tags to check."""
    paths = [Path(file) for file in files]
    for path in paths:
        if path.resolve() == BASE.resolve():
            raise ConfigError(f"{path}: is always read, below the scale; leave it out of --configfile")
        if path.resolve().parent == SCALES.resolve():
            raise ConfigError(f"{path}: is a scale; choose it with --config scale={path.stem}")
    return [path for path in reversed(paths) if path.suffix != ".json"]


ABSENT = object()  # a file may also give null


def _get(mapping: Any, keys: tuple[Any, ...]) -> Any:
    for key in keys:
        try:
            mapping = mapping[key]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return mapping


def explain(error: ValidationError, merged: dict[str, Any], layers: dict[Path, dict[str, Any]]) -> str:
    """One line per mistake: the file, the key, what was given and what is allowed.

    layers: the files that settings come from, the winner first.
    """
    lines = []
    for item in error.errors():
        keys = item["loc"][:-1] if item["loc"][-1:] == ("[key]",) else item["loc"]
        if keys[:1] == ("attacks",) and all(
            _get(layer, keys) is ABSENT for layer in (merged, *layers.values())
        ):
            continue  # inherited from `attack`, and reported there
        cause = item.get("ctx", {}).get("error", item["msg"])
        if not keys:  # a check of several keys names them itself
            lines.append(str(cause))
            continue
        given = _get(merged, keys)
        # NaN is not equal to itself, but the same object
        found = {p: _get(layer, keys) for p, layer in layers.items() if given is not ABSENT}
        places = [p for p, value in found.items() if value is given or value == given]
        place = "the command line or --configfile" if not places else _relative(places[0])
        if item["type"] == "missing":  # the key is in one of the blocks, or in any of the files
            around = [p for p in layers if len(keys) > 1 and _get(layers[p], keys[:-1]) not in (ABSENT, None)]
            place = " or ".join(map(_relative, around[:1] or layers))
        key = ".".join(str(k) if NAME.fullmatch(str(k)) else short(k) for k in keys)
        # A block's validator already names the mistake
        tells = item["type"] == "missing" or (
            item["type"] == "value_error" and isinstance(item["input"], dict)
        )
        message = "no such key" if item["type"] == "extra_forbidden" else cause
        if item["type"] == "missing" and len(keys) > 1:
            # A misspelt name makes a new block, which lacks what the block that was meant has.
            others = [str(k) for k in _get(merged, keys[:-2]) if k != keys[-2]]
            close = difflib.get_close_matches(str(keys[-2]), others, n=1)
            message += f"; did you mean {close[0]}?" if close else ""
        lines.append(f"{place}: {key}: {message}" + ("" if tells else f", given {short(item['input'])}"))
    return "bad configuration\n  " + "\n  ".join(lines)


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
