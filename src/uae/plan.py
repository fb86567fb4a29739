"""What a configuration asks of every checkpoint and UAE set: its settings, and what it is made from.

Known by the folder of the files below results/<scale>, as settings are the same for all seeds and draws.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from uae import identity
from uae.config import Config, Row
from uae.methods import Method


class Planned(NamedTuple):
    settings: str  # their hash
    inputs: list[str]  # folders


def plan(cfg: Config) -> dict[str, Planned]:
    """Every folder of checkpoints and UAE sets that the configuration's rows have."""
    return {folder: Planned(identity.hash_of(settings), inputs) for folder, settings, inputs in _folders(cfg)}


def made(planned: dict[str, Planned], folders: Iterable[str]) -> dict[str, str]:
    """The hashes of the settings of some folders' files, and of all that those are made from."""
    found: dict[str, str] = {}
    waiting = [folder for folder in folders if folder in planned]
    while waiting:
        folder = waiting.pop()
        if folder not in found:
            found[folder] = planned[folder].settings
            waiting += planned[folder].inputs
    return found


def _folders(cfg: Config) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    for row in cfg.made_rows:
        for method in ["original", *cfg.row_methods(row)]:
            sets = [_set(row, name) for name in Method(method).attacks]
            yield _model(row, method), cfg.training(row, method), sets
        for name in cfg.row_attacks(row):
            yield _set(row, name), cfg.attacking(row.model, name), [_model(row, Method(name).attacked)]
    for row in cfg.contrastive_rows:
        for method in ["original", *cfg.contrastive.methods]:
            sets = [_set(row, name) for name in Method(method).attacks]
            yield _model(row, method), cfg.contrastive.training(method), sets
            for name in Method(method).attacks:
                settings = cfg.contrastive.attacking(cfg.attacking(row.model, name))
                yield _set(row, name), settings, [_model(row, "original")]
    for row in cfg.classifiers:
        yield _model(row, "original"), cfg.supervised.classifier(row.dataset), []
        for attack in cfg.supervised_sets(row):
            yield _set(row, attack.name), attack.settings, [_model(row, "original")]
    for row in cfg.robust_made:
        for run in cfg.robust_runs(row):
            source = cfg.robustness.uaes.get(run.dataset)
            sets = [_set(source, source.method)] if source and run.method == "mine-uae" else []
            folder = f"checkpoints/robustness/{run.dataset}/{run.model}/{run.method}"
            yield folder, cfg.robustness.training(run), sets


def _model(row: Row, method: str) -> str:
    return f"checkpoints/{row.dataset}/{row.model}/{method}"


def _set(row: Any, name: str) -> str:
    return f"uae/{row.dataset}/{row.model}/{name}"
