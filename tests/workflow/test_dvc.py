"""DVC's own commands answer in a fresh clone: parameters, metrics, plots, experiments; nothing is run."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import ROOT, Workspace

METRICS = "results/paper/metrics.json"
FIGURES = ["figure7", "figure8", "figure9", "figure10a"]


@pytest.fixture
def clone(tmp_path) -> Workspace:
    """A clone of the last commit, without DVC's cache, a remote or results that git lacks."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tmp_path / "clone")], check=True)
    clone = Workspace(tmp_path / "clone")
    for key in ("analytics", "check_update"):
        clone.run("dvc", "config", "--local", f"core.{key}", "false")
    clone.run("git", "config", "user.email", "test@example.org")
    clone.run("git", "config", "user.name", "Test")
    return clone


def test_a_dry_run_names_every_stage(clone):
    said = clone.run("dvc", "repro", "--dry").stdout
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        for item in stage.get("foreach", [None]):
            assert f"'{name}@{item}'" in said if item else f"'{name}'" in said
    assert not (clone.folder / "data" / "raw").exists()


def test_metrics_are_shown_and_compared(clone):
    path = clone.folder / METRICS
    committed = json.loads(path.read_text())
    shown = json.loads(clone.run("dvc", "metrics", "show", "--json").stdout)
    assert shown[""]["data"][METRICS]["data"] == committed
    assert committed["verdicts"]["reproduced"] > 0
    path.write_text(json.dumps(committed | {"verdicts": committed["verdicts"] | {"reproduced": 99}}))
    diff = clone.run("dvc", "metrics", "diff").stdout
    assert "verdicts.reproduced" in diff and "99" in diff and "test_error" not in diff


def test_plots_have_the_numbers_of_the_figures(clone):
    shown = json.loads(clone.run("dvc", "plots", "show", "--json").stdout)["data"]
    for name in FIGURES:
        path = f"results/paper/figures/{name}.csv"
        spec = shown[path][0]["content"]
        spec = json.loads(spec) if isinstance(spec, str) else spec
        with (clone.folder / path).open() as file:
            rows = [(row["method"], row["eps"], row["asr"]) for row in csv.DictReader(file)]
        found = [(point["method"], point["eps"], point["asr"]) for point in spec["data"]["values"]]
        assert rows and found == rows
        assert "<DVC_" not in json.dumps(spec)  # the template has no field that DVC does not fill
        assert spec["spec"]["encoding"]["y"]["field"] == "asr"
    clone.run("dvc", "plots", "show")
    assert "figure9" in (clone.folder / "dvc_plots" / "index.html").read_text()


def test_training_curves_are_plotted_where_a_run_left_them(clone):
    path = clone.folder / "results/preview/figures/training.csv"
    path.parent.mkdir(parents=True)
    path.write_text(
        "dataset,variant,model,method,seed,draw,epoch,step,loss\n"
        "mnist,mnist-5k,dense,original,0,,1,5,0.5\nmnist,mnist-5k,dense,original,0,,2,10,0.25\n"
    )
    shown = json.loads(clone.run("dvc", "plots", "show", "--json").stdout)["data"]
    spec = shown["results/preview/figures/training.csv"][0]["content"]
    spec = json.loads(spec) if isinstance(spec, str) else spec
    assert [point["loss"] for point in spec["data"]["values"]] == ["0.5", "0.25"]


def experiment(clone: Workspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`dvc exp run`, once more where DVC cannot restore what it stashed: one run of eight did not."""
    run = clone.run("dvc", "exp", "run", *arguments, check=False)
    if "Stash apply resulted in merge conflicts" in run.stderr:
        clone.run("git", "reset", "-q", "--hard")
        run = clone.run("dvc", "exp", "run", *arguments, check=False)
    assert run.returncode == 0, run.stderr
    return run


def test_parameters_and_experiments(clone):
    """What the configuration says is a parameter: compared, shown, and set for an experiment."""
    key = "config/config.yaml:attack.inner_steps"
    said = experiment(clone, "--dry", "preview", "-S", f"{key}=7").stdout
    assert "snakemake --cores all" in said
    settings = clone.folder / "config" / "config.yaml"
    settings.write_text(settings.read_text().replace("\n  inner_steps: 20\n", "\n  inner_steps: 7\n"))
    diff = json.loads(clone.run("dvc", "params", "diff", "--json").stdout)
    assert diff == {"config/config.yaml": {"attack.inner_steps": {"old": 20, "new": 7, "diff": -13}}}
    shown = json.loads(clone.run("dvc", "exp", "show", "--json").stdout)
    workspace, commit = shown[0]["data"], shown[1]["data"]
    assert workspace["params"]["config/config.yaml"]["data"]["attack"]["inner_steps"] == 7
    assert commit["params"]["config/scales/paper.yaml"]["data"]["reconstruction"]["mnist"]
    assert commit["metrics"][METRICS]["data"]["verdicts"]
    clone.run("git", "checkout", "-q", "config")
    experiment(clone, "--queue", "-n", "seven", "preview", "-S", f"{key}=7")
    assert "seven" in clone.run("dvc", "queue", "status").stdout


def test_without_a_remote_pull_says_so(clone):
    run = clone.run("dvc", "pull", check=False)
    assert run.returncode and "no default remote" in run.stdout + run.stderr


def test_the_raw_stages_of_the_lock_file_have_the_checksums_of_the_catalogue():
    """So that what is in the lock is not taken for changed: `dvc status` compares no more than these."""
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    catalogue = yaml.safe_load((ROOT / "src/uae/data/catalogue.yaml").read_text())
    for name, stage in lock.items():
        kind, _, data = name.partition("@")
        if kind == "raw":
            found = stage["params"]["src/uae/data/catalogue.yaml"][f"{data}.files"]
            assert found == catalogue[data]["files"]


def test_templates_are_those_that_dvc_yaml_names():
    named = {options["template"] for plot in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
             for options in plot.values()}  # fmt: skip
    assert named == {Path(path).stem for path in (ROOT / ".dvc" / "plots").glob("*.json")}
