"""The report in a real browser: it renders at both widths and in both schemes, and leads where it says."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from tests import record_files
from tests.unit.paper.test_paper import RECORDS, record
from uae.paper import report

ROOT = Path(__file__).parents[2]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE, DESK = 400, 1400
SCREEN = 900  # pixels of height

# Loaded into a frame of a phone's width, then of a desktop's; what it measures becomes the page's text.
HARNESS = """<!doctype html>
<iframe id="f" style="width:{width}px;height:{screen}px;border:0" srcdoc="{page}"></iframe>
<script>
document.getElementById("f").onload = (event) => {{
  const page = event.target.contentDocument, view = event.target.contentWindow;
  const all = (selector) => [...page.querySelectorAll(selector)];
  const style = (e, part) => view.getComputedStyle(e, part);
  const bottom = (selector) => Math.max(0, ...all(selector).map((e) => e.getBoundingClientRect().bottom));
  const ids = new Set(all("[id]").map((e) => e.id));
  const links = all("a[href]").map((a) => a.getAttribute("href"));
  const number = (text) => text.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255);
  const light = (text) => number(text)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = light(style(page.body).backgroundColor);
  const contrast = (e) => {{
    const ink = light(style(e).color);
    return (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
  }};
  const closed = page.documentElement.scrollHeight;
  const first = {{ summary: bottom("h1 + .first p"), bar: bottom(".bar"), figure: bottom(".first svg") }};
  view.scrollTo(0, 300);
  const nav = page.querySelector("nav").getBoundingClientRect().top;
  all("details").forEach((e) => {{ e.open = true; }});
  const cell = page.querySelector("#table4 td");
  document.body.textContent = JSON.stringify({{
    width: page.documentElement.clientWidth,
    scroll: page.documentElement.scrollWidth,
    dead: links.filter((h) => h.startsWith("#") ? !ids.has(h.slice(1)) : !h.startsWith("https://")),
    elsewhere: links.filter((h) => h.startsWith("https://")),
    sections: all("h2").length,
    broken: [...page.images].filter((i) => !i.naturalWidth || !i.alt).length,
    requests: view.performance.getEntriesByType("resource").filter((r) => !r.name.startsWith("data:")).length,
    dark: ground < 0.2,
    contrast: Math.min(...all("p, td, th, h1, h2, h3, a, .badge, .up, .down, .small").map(contrast)),
    closed, first, nav,
    column: style(page.querySelector("#table4 tbody tr:not(.data) > :first-child")).position,
    cell: style(cell).display,
    label: style(cell, "::before").content,
    provenance: page.querySelector("#table4 td details p").getBoundingClientRect().height,
    colours: [...new Set(all(".up, .down, .badge").map((e) => style(e).color))],
    ink: style(page.body).color,
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


def measure(page: Path, folder: Path, width: int, dark: bool) -> dict:
    harness = folder / f"harness{width}.html"
    text = html.escape(page.read_text(), quote=True)
    harness.write_text(HARNESS.format(width=width, screen=SCREEN, page=text))
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--no-first-run",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
        harness.as_uri(),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(html.unescape(re.search(r"<body[^>]*>(\{.*?\})</body>", run.stdout, re.DOTALL)[1]))


def written(folder: Path, scale: str) -> Path:
    loaded = [*RECORDS, record("l2-uae", test_error=0.0036, asr=0.001)]
    for r in loaded:
        r.save(record_files.path(folder / "results" / "records" / "reconstruction", r.method, r.seed, r.draw))
    png(folder / "results")
    page = folder / "report.html"
    report.write(folder / "results", page, scale, ROOT / "workflow" / "report")
    return page


needs_browser = pytest.mark.skipif(BROWSER is None, reason="NO CHROMIUM: the report is not seen in a browser")


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
def test_the_report_in_a_browser(tmp_path, width, dark):
    found = measure(written(tmp_path, "paper"), tmp_path, width, dark)
    assert found["width"] <= width and found["scroll"] <= width, "the page is wider than the screen"
    assert found["dead"] == [] and found["broken"] == 0 and found["requests"] == 0
    assert any("arxiv.org" in address for address in found["elsewhere"])
    assert found["sections"] >= 6  # summary, claims, tables, figures, data, provenance
    assert found["dark"] is dark and found["contrast"] >= 4.5  # WCAG 2.1, AA
    assert found["nav"] == 0, "the navigation scrolls away"
    assert found["provenance"] > 10, "a tap on a cell does not show where it comes from"
    if width == DESK:
        assert 0 < max(found["first"].values()) <= SCREEN, "the summary is not in the first screen"
        assert found["closed"] < 3 * SCREEN and found["column"] == "sticky" and found["cell"] == "table-cell"
    else:
        assert 0 < found["first"]["summary"] <= SCREEN and found["closed"] < 6 * SCREEN
        assert found["column"] == "static" and found["cell"] == "grid" and "Original" in found["label"]


@needs_browser
def test_the_previews_report_is_visibly_a_preview(tmp_path):
    """Neither colours nor counts that could be taken for a result."""
    page = written(tmp_path, "preview")
    found = measure(page, tmp_path, DESK, dark=False)
    assert found["colours"] == [found["ink"]] and found["first"]["bar"] == 0
    text = page.read_text().partition("<body")[2]
    assert 'class="banner"' in text and "This is the preview" in text
    assert not re.search(r'class="badge|What reproduced|\d+ (not )?reproduced', text)
