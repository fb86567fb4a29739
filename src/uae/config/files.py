"""The files of the configuration: reading them, and saying where in them a mistake stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from uae.errors import ConfigError

ROOT = Path(__file__).parents[3]
SCALES = ROOT / "config" / "scales"


def read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values")
    return content


def scale_file(scale: str) -> Path:
    """config/scales/<scale>.yaml, or the path itself."""
    path = Path(scale) if scale.endswith((".yaml", ".yml")) else SCALES / f"{scale}.yaml"
    known = sorted(p.stem for p in SCALES.glob("*.yaml"))
    if not path.exists():
        raise ConfigError(
            f"scale: {scale!r} is neither one of {', '.join(known)} nor the path of a scale file"
        )
    if path.stem in known and path.resolve().parent != SCALES.resolve():
        raise ConfigError(
            f"scale: {scale} would write to results/{path.stem}, as config/scales/{path.name} does: rename it"
        )
    return path


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


def explain(error: ValidationError, settings: dict[str, Any], layers: dict[Path, dict[str, Any]]) -> str:
    """One line a mistake: where it stands, the key, what was given, what is allowed."""
    lines = []
    for item in error.errors():
        keys = item["loc"]
        stated = [_get(layer, keys) is not None for layer in (settings, *layers.values())]
        if keys[:1] == ("attacks",) and not any(stated):
            continue  # taken over from `attack`, and reported there
        places = [path for path, layer in layers.items() if _get(layer, keys) is not None]
        overridden = places and _get(settings, keys) not in (None, _get(layers[places[0]], keys))
        place = "the command line or --configfile" if overridden or not places else _relative(places[0])
        if item["type"] == "missing":
            place = _relative(next(iter(layers)))
        if not keys:  # a check of several keys, which names them
            lines.append(str(item["ctx"]["error"]))
            continue
        key = ".".join(map(str, keys))
        given = "" if item["type"] == "missing" else f", given {item['input']!r}"
        message = "no such key" if item["type"] == "extra_forbidden" else item["msg"]
        lines.append(f"{place}: {key}: {message}{given}")
    return "bad configuration\n  " + "\n  ".join(lines)


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
