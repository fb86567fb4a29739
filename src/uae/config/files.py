"""The files of the configuration: reading them, and saying where in them a mistake stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from uae.config.values import NAME, NAME_RULE, short
from uae.errors import ConfigError

ROOT = Path(__file__).parents[3]
SCALES = ROOT / "config" / "scales"


def scale_file(scale: Any) -> Path:
    """config/scales/<scale>.yaml, or the path itself. Its stem is a folder's name under results/."""
    scale = str(scale)
    is_path = scale.endswith((".yaml", ".yml"))
    path = Path(scale) if is_path else SCALES / f"{scale}.yaml"
    known = sorted(p.stem for p in SCALES.glob("*.yaml"))
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


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long
        return False


def check_precedence(scale: Path, settings: dict[str, Any], base: dict[str, Any]) -> None:
    """Raise ConfigError for a key of a scale file that config.yaml sets, too: it would have no effect."""

    def common(one: dict[str, Any], other: dict[str, Any], above: str = "") -> list[str]:
        keys = [key for key in one if key in other]
        nested = {key for key in keys if isinstance(one[key], dict) and isinstance(other[key], dict)}
        found = [above + str(key) for key in keys if key not in nested]
        return found + [name for key in nested for name in common(one[key], other[key], f"{above}{key}.")]

    if keys := common(settings, base):
        raise ConfigError(
            f"{scale}: {', '.join(sorted(keys))}: config/config.yaml has that, too, and its value would win; "
            "change it there, or with --configfile"
        )


def _get(mapping: Any, keys: tuple[Any, ...]) -> Any:
    for key in keys:
        try:
            mapping = mapping[key]
        except (KeyError, IndexError, TypeError):
            return None
    return mapping


def explain(error: ValidationError, merged: dict[str, Any], layers: dict[Path, dict[str, Any]]) -> str:
    """One line a mistake: where it stands, the key, what was given, what is allowed.

    layers: the files that settings come from, the one whose settings win first.
    """
    lines = []
    for item in error.errors():
        keys = item["loc"][:-1] if item["loc"][-1:] == ("[key]",) else item["loc"]
        if keys[:1] == ("attacks",) and all(
            _get(layer, keys) is None for layer in (merged, *layers.values())
        ):
            continue  # taken over from `attack`, and reported there
        cause = item.get("ctx", {}).get("error", item["msg"])
        if not keys:  # a check of several keys, which names them
            lines.append(str(cause))
            continue
        given = _get(merged, keys)
        places = [path for path, layer in layers.items() if given is not None and _get(layer, keys) == given]
        place = "the command line or --configfile" if not places else _relative(places[0])
        if item["type"] == "missing":
            place = _relative(next(reversed(layers)))
        key = ".".join(str(k) if NAME.fullmatch(str(k)) else short(k) for k in keys)
        # A block's own check names what is wrong in it
        tells = item["type"] == "missing" or (
            item["type"] == "value_error" and isinstance(item["input"], dict)
        )
        message = "no such key" if item["type"] == "extra_forbidden" else cause
        lines.append(f"{place}: {key}: {message}" + ("" if tells else f", given {short(item['input'])}"))
    return "bad configuration\n  " + "\n  ".join(lines)


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
