"""The configuration: read in four layers, and checked.

Later layers win: config/config.yaml, the scale's file, `--configfile`, `--config`. Imports neither torch nor
Snakemake: the Snakefile loads it for every command.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from uae.config.blocks import Row, Run, merge
from uae.config.files import BASE, ROOT, SCALES, explain, own_files, scale_file, scale_layers
from uae.config.model import Config
from uae.config.robustness import Robust
from uae.config.strict_yaml import read_yaml
from uae.errors import ConfigError

__all__ = ["ROOT", "SCALES", "Config", "Robust", "Row", "Run", "load", "merge", "read_yaml"]


def load(overrides: dict[str, Any] | None = None, files: Iterable[str | Path] = ()) -> Config:
    """Load the configuration: config/config.yaml, the scale that a scale extends, the scale, overrides.

    overrides: the values of `--configfile` and `--config`, Snakemake's `config`.
    files: those of `--configfile`; later ones win. They are read again because Snakemake accepts some that
    `read_yaml` refuses, and so that an error can name them.
    """
    overrides = overrides or {}
    own = {path: read_yaml(path) for path in own_files(files)}
    if not BASE.exists():
        raise ConfigError(
            "the package has no configuration: this needs a checkout, installed by pip install -e ."
        )
    base = read_yaml(BASE)
    scale = scale_layers(scale_file(overrides.get("scale", base.get("scale"))))
    layers = own | scale | {BASE: base}
    given = functools.reduce(merge, [base, *reversed(scale.values()), overrides])
    merged, attack, attacks = given, given.get("attack"), given.get("attacks")
    if isinstance(attack, dict) and isinstance(attacks, dict):
        merged = given | {
            "attacks": {
                name: merge(attack, over or {}) if isinstance(over, dict | None) else over
                for name, over in attacks.items()
            }
        }
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(explain(error, given, layers)) from None
