"""The report in a real browser: it renders, its links lead somewhere, nothing overflows on a phone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from tests.unit.test_paper import RECORDS
from uae import records
from uae.paper import report

ROOT = Path(__file__).parents[2]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Loaded into a frame of a phone's width, then of a desktop's; what it measures becomes the page's text.
HARNESS = """<!doctype html>
<iframe id="f" style="width:{width}px;height:800px;border:0" srcdoc="{page}"></iframe>
<script>
document.getElementById("f").onload = (event) => {{
  const page = event.target.contentDocument;
  const ids = new Set([...page.querySelectorAll("[id]")].map((e) => e.id));
  const images = [...page.images];
  document.body.textContent = JSON.stringify({{
    width: page.documentElement.clientWidth,
    scroll: page.documentElement.scrollWidth,
    dead: [...page.querySelectorAll("a[href]")].map((a) => a.getAttribute("href"))
      .filter((h) => !h.startsWith("#") || !ids.has(h.slice(1))),
    sections: page.querySelectorAll("h2").length,
    broken: images.filter((i) => !i.naturalWidth).length,
    requests: event.target.contentWindow.performance.getEntriesByType("resource")
      .filter((r) => !r.name.startsWith("data:")).length,
  }});
}};
</script>"""


def png(folder: Path) -> None:
    """The smallest picture of 1 x 1 pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = (1).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "figure5.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def measure(page: Path, folder: Path, width: int) -> dict:
    harness = folder / f"harness{width}.html"
    harness.write_text(HARNESS.format(width=width, page=html.escape(page.read_text(), quote=True)))
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
        harness.as_uri(),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(html.unescape(re.search(r"<body[^>]*>(\{.*?\})</body>", run.stdout, re.DOTALL)[1]))


@pytest.mark.skipif(BROWSER is None, reason="NO CHROMIUM: the report is not looked at in a browser")
@pytest.mark.parametrize("width", [400, 1200])
def test_the_report_in_a_browser(tmp_path, width):
    for r in RECORDS:
        r.save(records.path(tmp_path / "results" / "records" / "reconstruction", r.method, r.seed, r.draw))
    png(tmp_path / "results")
    page = tmp_path / "report.html"
    report.write(tmp_path / "results", page, "preview", ROOT / "workflow" / "report")
    found = measure(page, tmp_path, width)
    assert found["width"] <= width and found["scroll"] <= width, "the page is wider than the screen"
    assert found["dead"] == [] and found["broken"] == 0 and found["requests"] == 0
    assert found["sections"] >= 6  # claims, data, Tables 4 and 8, Figure 5, time
