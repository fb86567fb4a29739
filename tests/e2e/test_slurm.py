"""The workflow on a real Slurm with the real profile: GPU jobs get their GPU, rendering stays local."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.e2e import slurm
from tests.workflow.conftest import ROOT, copy


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the extra `cluster` is not installed")
    with tempfile.TemporaryDirectory(prefix="slurm") as folder:  # short: see `slurm.cluster`
        try:
            with slurm.cluster(Path(folder)) as variables:
                yield variables
        except slurm.CannotStart as error:
            pytest.skip(f"NO SLURM, profiles/slurm IS NOT TESTED: {error}")


def jobs(variables) -> list[tuple[str, dict[str, str]]]:
    """What Slurm was asked for: the rule, and the job."""
    run = subprocess.run(
        ["scontrol", "show", "job", "-o"],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [dict(p.split("=", 1) for p in line.split() if "=" in p) for line in run.stdout.splitlines()]
    return [(job["Comment"].removeprefix("rule_").partition("_wildcards")[0], job) for job in found]


def test_the_tiny_scale_on_the_cluster(cluster, tmp_path):
    """The GPU is a fake one, so training asks for it and computes on the CPU."""
    workspace = copy(tmp_path)
    workspace.environment |= cluster
    workspace.run(
        "snakemake", "table4", "--workflow-profile", "profiles/slurm",
        "--config", "device=cpu", "only=mnist/dense", "methods=[]", "figure5=[]", "together=false",
        "--set-resources", "train:gpu=1",
        "--slurm-init-seconds-before-status-checks", "1",
    )  # fmt: skip
    assert (workspace.folder / "results" / "preview" / "tables" / "table4.csv").exists()
    found = jobs(cluster)
    # The original is trained and evaluated; the table was rendered here.
    assert sorted(rule for rule, _ in found) == ["evaluate", "prepare", "train"]
    for rule, job in found:
        assert job["JobState"] == "COMPLETED" and job["TimeLimit"] == "04:00:00"
        gpu = rule == "train"
        assert job["Partition"] == ("gpu" if gpu else "cpu")
        assert job.get("TresPerJob") == ("gres:gpu:1" if gpu else None)


# The text of every rule, by file and place.
RULES = {
    f"{path.stem} {i}": text
    for path in sorted((ROOT / "workflow" / "rules").glob("*.smk"))
    for i, text in enumerate(re.split(r"(?m)^ *rule\b.*:$", path.read_text())[1:])
}


@pytest.mark.parametrize("rule", RULES)
def test_what_computes_asks_for_the_gpu_and_what_renders_stays_local(rule):
    text = RULES[rule]
    assert bool(re.search(r"shell:\s+RUN\b", text)) == ("gpu=GPU" in text)
    assert ("localrule: True" in text) == any(
        word in text for word in ("uae render", "uae report", "uae metrics", "uae fetch")
    )
