"""What README and docs show is what works."""

import re
from pathlib import Path

import pytest
import torch

from uae import models

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"model": models.build("dense", (1, 8, 8), latent=4).eval(), "images": torch.rand(2, 1, 8, 8)}
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        # Fewer steps: the example is tested, not the attack.
        exec(code.replace("steps=40", "steps=2").replace("inner_steps=20", "inner_steps=2"), dict(names))
        assert (tmp_path / "uae.safetensors").exists()


def test_the_commands_exist():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"^make(?: (\w+))?\b", page.read_text(), re.MULTILINE):
            assert not target or re.search(rf"^{target}:", makefile, re.MULTILINE), (
                f"{page.name}: make {target}"
            )
    assert (
        "make test" in (ROOT / ".ci" / "run").read_text() and "make test" in (ROOT / "README.md").read_text()
    )
