"""The schema and the page of the configuration's keys: current, whole, and of the same mind as the loader."""

from __future__ import annotations

import copy
import json

import jsonschema
import pytest
import yaml

from uae import config
from uae.config import document
from uae.errors import ConfigError

FOLDER = config.ROOT / "config"
FILES = [FOLDER / "config.yaml", *sorted((FOLDER / "scales").glob("*.yaml"))]
BLOCKS = {"Config": document.schema(), **document.schema()["$defs"]}


def test_what_is_committed_is_current():
    """Else write both again, see CONTRIBUTING.md."""
    assert json.loads((FOLDER / "schema.json").read_text()) == document.schema()
    assert (FOLDER / "README.md").read_text().rstrip() == document.keys().rstrip()


def test_every_key_has_a_meaning_and_every_meaning_a_key():
    meanings = config.read_yaml(config.ROOT / "src/uae/config/keys.yaml")
    known = {(name, key) for name, block in BLOCKS.items() for key in block.get("properties", {})}
    for name, key in known:
        assert BLOCKS[name]["properties"][key].get("description"), (name, key)
    for name, keys in meanings.items():
        for key in keys:
            assert (name, key) in known if name != "any" else any(key == k for _, k in known), (name, key)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_shipped_files_are_of_the_schema(path):
    jsonschema.validate(yaml.safe_load(path.read_text()), document.schema())


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("epochs",), 3),
        (("attack", "stepz"), 3),
        (("attack", "eps"), "much"),
        (("attack", "steps"), 0),
        (("attack", "alpha"), 0),
        (("attack", "beta"), -1),
        (("train_limit",), 10_000_000),
        (("models", "dense", "samples"), "none"),
        (("reconstruction", "mnist", "models", "dense", "epochs"), 0.5),
        (("robustness", "models", "mnist", "madry", "fit", "lr"), [1]),
    ],
)
def test_what_the_loader_refuses_the_editor_marks(keys, value):
    content: dict = {}
    block = content
    for key in keys[:-1]:
        block = block.setdefault(key, {})
    block[keys[-1]] = value
    with pytest.raises(ConfigError):
        config.load(copy.deepcopy(content))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, document.schema())
