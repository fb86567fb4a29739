"""The YAML files of the package, such as the catalogue of data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

# libyaml's, if PyYAML has it: it takes a seventh of the other's time
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(path: Path) -> Any:
    """The content of a file that the package ships, so it is not checked."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
