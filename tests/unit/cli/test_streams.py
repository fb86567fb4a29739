"""A display that fails is not the job failing: the file is written, and the command ends with 0."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = """
import logging, sys
from pathlib import Path
from rich.console import Console
from rich.table import Table
from uae.cli import app, main
from uae.cli.common import bar
from uae.errors import InputError

@app.command()
def job(out: Path, fail: bool = False) -> None:
    with bar("work") as progress:
        progress(1, 1, "‖δ‖₂ → 0.5")
    logging.warning("σ is small")
    if fail:
        raise InputError("x: ε is 0")
    out.write_text("whole")
    table = Table("what", "value", title="6 samples → out")
    table.add_row("mean ‖δ‖₂", "½")
    Console().print(table)
    print("done ✓" * 5000)
main()
"""


def run(tmp_path, shell: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    (tmp_path / "job.py").write_text(COMMAND, encoding="utf-8")
    command = ["bash", "-c", f'"$@" {shell}', "-", sys.executable, "job.py", *arguments]
    return subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


@pytest.mark.parametrize(
    ("shell", "environment"),
    [
        ("", {"PYTHONIOENCODING": "ascii"}),
        ("", {"PYTHONIOENCODING": "latin-1", "FORCE_COLOR": "1"}),
        ("", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        ("", {"TERM": "dumb", "COLUMNS": "0"}),
        ("", {"COLUMNS": "-3", "FORCE_COLOR": "1"}),
        ("", {"COLUMNS": "²", "LINES": "x"}),
        (">&-", {}),
        ("2>&-", {}),
        (">&- 2>&- <&-", {}),
        (">/dev/full", {}),
        ("2>/dev/full", {}),
        (">/dev/full 2>/dev/full", {}),
        ("| true; exit ${PIPESTATUS[0]}", {}),
        ("2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}", {}),
    ],
    ids=str,
)
def test_the_job_is_done_whatever_becomes_of_its_display(tmp_path, shell, environment):
    done = run(tmp_path, shell, "job", "out.txt", **environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.txt").read_text() == "whole"
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


@pytest.mark.parametrize("shell", ["", ">/dev/full", "2>/dev/full", ">&- 2>&-"])
def test_a_mistake_is_a_mistake_whatever_becomes_of_its_message(tmp_path, shell):
    done = run(tmp_path, shell, "job", "out.txt", "--fail", PYTHONIOENCODING="ascii")
    assert done.returncode == 1 and not Path(tmp_path / "out.txt").exists()
    assert "Traceback" not in done.stderr and ("2>" in shell or r"x: \u03b5 is 0" in done.stderr)


@pytest.mark.parametrize("shell", [">/dev/full", ">&-"])
def test_a_result_on_standard_output_that_is_lost_is_an_error(tmp_path, shell):
    done = run(tmp_path, shell, "config")
    assert done.returncode == 1 and "error:" in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
