"""`uae --help`: the order of the commands, examples that parse, completion."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from uae.cli import app

GROUP = typer.main.get_command(app)


def examples(command: str) -> list[list[str]]:
    text = GROUP.commands[command].epilog.partition("Examples:")[2]
    return [shlex.split(line) for line in text.splitlines() if line.startswith("uae ")]


@pytest.mark.parametrize("command", GROUP.commands)
def test_every_help_has_examples_that_parse(command):
    found = examples(command)
    assert found and all(words[:2] == ["uae", command] for words in found)
    for words in found:
        context = GROUP.commands[command].make_context(command, words[2:])  # raises for a wrong option
        assert context.params
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert "Examples:" in shown.stdout and shlex.join(found[0]).split(" --")[0] in shown.stdout


def test_the_commands_for_users_come_first_and_that_of_the_workflow_last():
    names = list(GROUP.commands)
    assert names[:2] == ["attack", "augment"] and names[-1] == "run"
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).stdout
    panels = [
        text.index(name) for name in ("Your model and data", "The reproduction", "Called by the workflow")
    ]
    assert panels == sorted(panels)
    assert "--install-completion" in text


def test_completion_of_a_shell():
    command = [str(Path(sys.executable).parent / "uae")]
    asked = {"_UAE_COMPLETE": "complete_bash", "COMP_WORDS": "uae au", "COMP_CWORD": "1"}
    done = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["augment"]
