"""The workflow with the real Snakemake and the real DVC, at the tiny scale."""

import json
import shutil
import sys

import pandas as pd
import pytest

from tests.workflow.conftest import Workspace, copy
from uae import storage
from uae.paper.layouts import items

RESULTS = "results/preview"
METHODS = ("mine-uae", "mine-uae-released", "l2-uae-released", "ga-0.01", "matched")
# Those that the tiny scale has rows of.
TABLES = (
    "table1",
    "table2",
    "table3",
    "table4",
    "table7",
    "table8",
    "appendixh",
    "seeds",
    "ablation",
    "robust",
)
FIGURES = {name: figure["numbers"] for name, figure in items()["figures"].items()}
RENDERED = (
    *(f"tables/{name}.{suffix}" for name in TABLES for suffix in ("csv", "tex", "md")),
    *(f"figures/{name}.{suffix}" for name, numbers in FIGURES.items() for suffix in ("pdf", "png", numbers)),
    "metrics.json",
    "report.html",
)


def test_one_command_makes_everything(workspace):
    for name in RENDERED:
        assert (workspace.folder / RESULTS / name).stat().st_size > 0, name
    table = pd.read_csv(workspace.folder / RESULTS / "tables" / "table4.csv")
    mnist = table[table.dataset == "mnist"]
    assert set(mnist.model) == {"dense", "convolutional"} and set(mnist.variant) == {"mnist-5k@60"}
    assert set(mnist.method) == {"original", *METHODS}
    assert mnist[mnist.method == "ga-0.01"]["std"].notna().all()  # two draws
    assert table[table.metric == "asr"].value.between(0, 1).all()
    left = [
        p for p in workspace.folder.rglob("*") if p.suffix in (".tmp", ".partial") and ".dvc" not in p.parts
    ]
    assert not left


def test_a_second_run_is_of_the_retrained_model(workspace):
    """Appendix H: other UAEs than the first run's, three times the samples, as its control."""
    folder = workspace.folder / RESULTS
    steps = {}
    for method in ("mine-uae", "mine-uae-2", "matched-2"):
        record = folder / "records" / "reconstruction" / "svhn" / "sparse" / method / "seed0.json"
        steps[method] = json.loads(record.read_text())["metrics"]["steps"]
    assert steps == {"mine-uae": 1, "mine-uae-2": 2, "matched-2": 2}  # 80 and 120 samples in batches of 100
    first, second = (
        storage.read_tensors(folder / "uae" / "svhn" / "sparse" / m / "seed0.safetensors")
        for m in ("mine-uae", "mine-uae-2")
    )
    retrained = "checkpoints/svhn/sparse/mine-uae/seed0.safetensors"
    assert retrained not in first[1]["inputs"]
    content = storage.read_tensors(folder / retrained)[1]["content"]
    assert second[1]["inputs"][retrained]["content"] == content


def test_records_say_what_was_run(workspace):
    folder = workspace.folder / RESULTS / "records" / "reconstruction" / "mnist" / "convolutional"
    records = {p.parent.name: json.loads(p.read_text()) for p in folder.rglob("*.json")}
    uae, matched, original = (records[m] for m in ("mine-uae", "matched", "original"))
    assert set(uae["provenance"]) == {"training", "attack", "evaluation"}
    assert uae["settings"]["attack"]["mi"]["samples"] == {"layer": None}
    assert uae["metrics"]["n_train"] == 60 and uae["variant"] == "mnist-5k@60"
    # The control takes exactly the gradient steps of a retrained model: 2n samples, the same epochs.
    assert matched["metrics"]["steps"] == uae["metrics"]["steps"] == 3 * 2
    assert original["metrics"]["steps"] == 2 * 1


def test_a_commit_is_marked_where_code_was_changed_and_not_for_results(workspace):
    def commit():
        return workspace.run(sys.executable, "-c", "from uae import records; print(records.commit())").stdout

    clean = commit()
    with workspace.edited("dvc.yaml", "stages", "stages "):  # like committed records, no code
        assert commit() == clean and "changes" not in clean
    with workspace.edited("workflow/rules/render.smk", "Render", "Draw"):
        assert commit() == f"{clean.strip()}+changes\n"


def test_a_second_run_plans_nothing(workspace):
    assert workspace.plan() == {}


RENDERING = {"render", "headline", "report"}
MAKING = {"make"} | RENDERING


@pytest.mark.parametrize(
    ("name", "old", "new", "rules"),
    [
        ("src/uae/paper/tables.py", '"""The numbers', '"""All numbers', RENDERING),
        ("src/uae/evaluation/reconstruction.py", "BATCH = 1000", "BATCH = 500", MAKING),
        ("src/uae/augmentation.py", '"""Augmented', '"""The augmented', MAKING),
        ("config/scales/preview.yaml", "# The smallest", "# A small", set()),
    ],
)
def test_an_edit_reruns_what_uses_it(workspace, name, old, new, rules):
    with workspace.edited(name, old, new):
        assert set(workspace.plan()) == rules
    assert workspace.plan() == {}


def test_an_edit_of_a_figure_plans_that_figure_alone(workspace):
    with workspace.edited("src/uae/paper/figures/figure5.py", "fontsize=7", "fontsize=6"):
        assert workspace.plan() == {"render": 1, "report": 1}


def test_a_changed_setting_reruns_its_row_alone(workspace):
    with workspace.edited(
        "config/scales/preview.yaml",
        "dense: {epochs: 2, retrain_epochs: 3",
        "dense: {epochs: 2, retrain_epochs: 4",
    ):
        planned = workspace.planned()
    assert {"make_mnist_fully-connected", "render_table", "report"} <= planned
    assert not [rule for rule in planned if "convolutional" in rule or "svhn" in rule]


def test_other_settings_are_noticed_where_the_checkpoints_are_gone(workspace, tmp_path):
    """Records need no checkpoints to be there, but must have been measured on those of today's settings."""
    other = Workspace(tmp_path / "w")
    shutil.copytree(workspace.folder, other.folder, ignore=shutil.ignore_patterns(".dvc", ".git"))
    for kind in ("checkpoints", "uae"):
        shutil.rmtree(other.folder / RESULTS / kind)
    assert other.plan() == {}
    with other.edited("config/config.yaml", "  alpha: 0.01\n", "  alpha: 0.02\n"):
        planned = other.planned()
    groups = ("mnist_fully-connected", "mnist_convolutional", "mnist_robust")
    assert {f"make_{group}" for group in groups} <= planned


def test_what_was_rendered_has_digests(workspace):
    known = json.loads((workspace.folder / RESULTS / "digests.json").read_text())
    assert set(known) == set(RENDERED)
    said = workspace.run("uae", "check").stderr
    assert not [line for line in said.splitlines() if "not checked" in line and "data/raw" not in line]


ROW = ("table4", "--config", "only=mnist/dense", "methods=[mine-uae,matched]", "together=false")


@pytest.fixture(scope="module")
def apart(tmp_path_factory) -> Workspace:
    """A row whose files are made by a job each."""
    workspace = copy(tmp_path_factory.mktemp("apart"))
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
        workspace.run("git", "-c", "user.email=test@example.org", "-c", "user.name=Test", *command)
    workspace.run("snakemake", "--cores", "2", *ROW)
    return workspace


FOLLOWS = {"train": 1, "evaluate": 1, "render": 1, "named": 1}


@pytest.mark.parametrize(
    ("name", "old", "new", "jobs"),
    [
        ("config/scales/preview.yaml", "dense: {epochs: 2, retrain_epochs: 3",
         "dense: {epochs: 2, retrain_epochs: 4", FOLLOWS | {"train": 2, "evaluate": 2}),
        ("config/scales/preview.yaml", "# The smallest", "# A small", {}),
        ("src/uae/mine/critics.py", '"""', '"""The critics: ', FOLLOWS | {"attack": 1}),
        ("src/uae/attacks/minmax.py", '"""', '"""The search: ', FOLLOWS | {"attack": 1}),
        ("src/uae/methods.py", '"""', '"""Names: ', FOLLOWS | {"train": 3, "attack": 1, "evaluate": 3}),
        ("src/uae/evaluation/reconstruction.py", "BATCH = 1000", "BATCH = 500",
         {"evaluate": 3, "render": 1, "named": 1}),
        ("src/uae/evaluation/robustness.py", '"""', '"""Rates: ', {"attack": 1} | FOLLOWS),
        ("src/uae/paper/formats.py", '"""', '"""Formats: ', {"render": 1, "named": 1}),
        ("src/uae/paper/figures/figure5.py", "fontsize=7", "fontsize=6", {}),
    ],
)  # fmt: skip
def test_an_edit_plans_what_follows_and_nothing_else(apart, name, old, new, jobs):
    text = (apart.folder / name).read_text()
    with apart.edited(name, text, text.replace(old, new, 1)):
        assert apart.plan(*ROW) == jobs
    assert apart.plan(*ROW) == {}


def test_a_new_seed_and_a_commit(apart):
    assert apart.plan(*ROW, "seeds=[0,1]") == {
        "train": 3,
        "attack": 1,
        "evaluate": 3,
        "render": 1,
        "named": 1,
    }
    options = ("-c", "user.email=test@example.org", "-c", "user.name=Test", "commit", "--allow-empty")
    apart.run("git", *options, "-qm", "empty")
    assert apart.plan(*ROW) == {}


def test_a_changed_data_set_reruns_its_jobs_alone(workspace):
    block = "  svhn:\n    data: mnist-5k@"
    with workspace.edited("config/scales/preview.yaml", f"{block}40", f"{block}50"):
        planned = workspace.planned()
    assert {"prepare", "make_svhn_fully-connected"} <= planned
    assert not [rule for rule in planned if "mnist" in rule]


@pytest.mark.parametrize("scale", ["preview", "paper"])
def test_the_rules_are_a_table_of_contents(workspace, scale):
    """At most 15 rules with a line each; in the preview those of rules/together.smk in addition."""
    listed = workspace.run("snakemake", "--list", "--config", f"scale={scale}").stdout.splitlines()
    rules = [line for line in listed if not line.startswith("make_")]
    assert 8 < len(rules) <= 15 and all("(" in line for line in rules)
    assert scale == "preview" or rules == listed


def test_partial_runs(workspace):
    one_seed = workspace.plan("table4", "--config", "only=mnist/dense", "seeds=[7]")
    assert one_seed == {"make": 1, "render": 1, "named": 1}
    assert workspace.plan("table4") == workspace.plan("table4", "figure5") == {}
    target = f"{RESULTS}/uae/mnist/convolutional/mine-uae/seed7.safetensors"
    assert workspace.plan(target, "--config", "seeds=[7]") == {"make": 1}
    assert workspace.plan(target, "--config", "together=false") == {"train": 1, "attack": 1}
    alone = workspace.plan("table4", "--config", "only=mnist/dense", "together=false", "seeds=[7]")
    assert (alone["train"], alone["attack"], alone["evaluate"]) == (7, 3, 7)
    seed = ("together=false", "robustness={seeds: [7]}")
    figure9 = workspace.run("snakemake", "-n", "figure9", "--cores", "2", "--config", *seed)
    said = figure9.stdout + figure9.stderr
    assert "Evaluate mnist/adversarial-training, mine-uae, seed7: robustness" in said
    assert not [
        name for name in ("madry", "trades", "mnist/classifier") if f"Train robustness/{name}" in said
    ]
    refused = workspace.run("snakemake", "-n", f"{RESULTS}/uae/mnist/vgg/mine-uae/seed0.safetensors",
                            "--cores", "1", "--config", "together=false", check=False)  # fmt: skip
    assert refused.returncode and "this configuration has no such file" in refused.stdout + refused.stderr
    refused = workspace.run("snakemake", "-n", "--config", "gaussian_draws=900", check=False)
    assert refused.returncode and "too many for one process" in refused.stdout + refused.stderr
    refused = workspace.run("snakemake", "-n", "table7", "--config", "only=mnist/dense", check=False)
    assert (
        refused.returncode
        and "table7: this configuration has no job for it" in refused.stdout + refused.stderr
    )


def test_a_bad_setting_stops_before_the_first_job(workspace):
    run = workspace.run("snakemake", "--cores", "1", "--config", "attack={eps: -1}", check=False)
    text = run.stdout + run.stderr
    assert run.returncode != 0
    assert "attack.eps: Input should be greater than 0, given '-1'" in text and "command line" in text
    assert "Traceback" not in text and "Job stats" not in text


def test_a_bad_prepared_file_is_named_and_loses_nothing(workspace, tmp_path):
    """Every training starts over from the changed file and fails: what was there stays."""
    other = Workspace(tmp_path / "w")
    shutil.copytree(workspace.folder, other.folder, ignore=shutil.ignore_patterns(".dvc", ".git"))
    before = other.files(RESULTS)
    data = other.folder / "data" / "prepared" / "mnist-5k@60.safetensors"
    data.write_bytes(data.read_bytes()[:1000])
    run = other.run("snakemake", "--cores", "2", "--keep-going", check=False)
    text = run.stdout + run.stderr
    assert run.returncode != 0
    assert "mnist-5k@60.safetensors: not a whole safetensors file" in text
    assert "Restored previous version of results/preview/checkpoints" in text
    assert other.files(RESULTS) == before


def test_a_run_of_one_row_leaves_the_others_in_the_tables(workspace, tmp_path):
    other = Workspace(tmp_path / "w")
    shutil.copytree(workspace.folder, other.folder, ignore=shutil.ignore_patterns(".dvc", ".git"))
    table = other.folder / RESULTS / "tables" / "table4.csv"
    before = table.read_bytes()
    table.unlink()
    other.run("snakemake", "table4", "--cores", "2", "--config", "only=mnist/dense")
    assert table.read_bytes() == before


def test_two_runs_agree(workspace, tmp_path):
    """Another run from nothing gives the same records but for times, and the same tables."""
    other = copy(tmp_path / "w")
    other.run("snakemake", "tables", "--cores", "2", "--resources", "gpu=1", "--config", "only=mnist/dense")

    def measured(workspace):
        folder = workspace.folder / RESULTS / "records" / "reconstruction" / "mnist" / "dense"
        loaded = {str(p.relative_to(folder)): json.loads(p.read_text()) for p in folder.rglob("*.json")}
        return {
            name: {k: v for k, v in r.items() if k not in ("provenance", "checksum")}
            for name, r in loaded.items()
        }

    assert measured(other) == measured(workspace)


def test_frozen_rendering_from_records_alone(workspace, tmp_path):
    other = copy(tmp_path / "w")
    shutil.copytree(workspace.folder / RESULTS / "records", other.folder / RESULTS / "records")
    plan = other.plan("figures", "tables", "--config", "records=frozen")
    assert plan == {"render": len(TABLES) + len(FIGURES), "headline": 1, "tables": 1, "figures": 1}
    other.run("snakemake", "--cores", "2", "figures", "tables", "--config", "records=frozen")
    for folder in ("tables", "figures"):
        assert other.files(f"{RESULTS}/{folder}") == workspace.files(f"{RESULTS}/{folder}")


def test_dvc_pushes_and_pulls(workspace, tmp_path):
    assert "up to date" in workspace.run("dvc", "status", "preview").stdout
    workspace.run("dvc", "remote", "add", "-f", "-d", "local", str(tmp_path / "remote"))
    workspace.run("git", "add", "-A")
    workspace.run("git", "commit", "-qm", "run")
    workspace.run("dvc", "push", "preview")
    clone = Workspace(tmp_path / "clone")
    workspace.run("git", "clone", "-q", ".", str(clone.folder))
    assert not (clone.folder / RESULTS / "checkpoints").exists()
    clone.run("dvc", "pull", "preview")
    for folder in ("checkpoints", "uae", "records", "tables", "figures"):
        assert clone.files(f"{RESULTS}/{folder}") == workspace.files(f"{RESULTS}/{folder}")
    assert "up to date" in clone.run("dvc", "status", "preview").stdout
    # What Snakemake knows of the outputs came along: nothing runs again, and an edit reruns what it touches.
    assert clone.plan() == {}
    with clone.edited("src/uae/paper/figures/figure5.py", "fontsize=7", "fontsize=6"):
        assert clone.plan() == {"render": 1, "report": 1}
    # A kill may leave a file of it cut off.
    cut = next(path for path in (clone.folder / ".snakemake" / "metadata").rglob("*") if path.is_file())
    cut.write_text("")
    assert clone.plan() == {} and json.loads(cut.read_text())
    # Unchanged: DVC runs nothing, and its outputs are still Snakemake's to update.
    assert "Running stage" not in workspace.run("dvc", "repro", "preview").stdout
