"""Training curves: from a training to its checkpoint, its record, the figure, CSV and TensorBoard."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys

import pandas as pd
import pytest
from typer.testing import CliRunner

from tests.unit.stages.test_supervised import write_data
from uae import curves, records, storage
from uae.cli.common import app
from uae.errors import BadFile, InputError
from uae.paper import render
from uae.stages import evaluate, train

PLACE = "mnist/dense/original/seed0"
SETTINGS = {
    "network": "dense", "arguments": {"latent": 4}, "training": "autoencoder", "loss": "mse",
    "optimizer": "rmsprop", "lr": 0.0025, "batch_size": 8, "epochs": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a scale with one training and its record, and what the training said after each epoch."""
    folder, said = tmp_path_factory.mktemp("preview"), {}
    data, checkpoint = folder / "data.safetensors", folder / f"checkpoints/{PLACE}.safetensors"
    write_data(data)

    def progress(done, total, note):
        said[done] = float(re.search(r"loss ([0-9.]+)", note)[1])

    train.run(checkpoint, data=data, settings=SETTINGS, progress=progress)
    record = folder / f"records/reconstruction/{PLACE}.json"
    evaluate.run(record, data=data, checkpoint=checkpoint, original=checkpoint, settings={})
    return folder, said


def exported(*arguments):
    """The points that `uae curves` writes."""
    result = CliRunner().invoke(app, ["curves", *map(str, arguments)], catch_exceptions=False)
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_the_csv_has_the_loss_that_the_training_said_after_each_epoch(run):
    folder, said = run
    points = exported(folder / "checkpoints")
    assert [int(point["epoch"]) for point in points] == list(said) == [1, 2, 3, 4, 5]
    assert [float(point["loss"]) for point in points] == pytest.approx(list(said.values()), abs=5e-6)
    assert float(points[-1]["loss"]) < float(points[0]["loss"])
    assert {point["dataset"] + "/" + point["model"] + "/" + point["method"] for point in points} == {
        "mnist/dense/original"
    }
    count = int(records.read(folder / f"records/reconstruction/{PLACE}.json").metrics["n_train"])
    assert int(points[1]["step"]) == 2 * -(-count // 8)  # batches of 8 in two epochs


def test_record_and_figure_have_the_same_points_and_import_no_torch(run, tmp_path, monkeypatch):
    folder, said = run
    found = render.records_of("training", folder)
    assert found == [folder / f"records/reconstruction/{PLACE}.json"]
    monkeypatch.setitem(sys.modules, "torch", None)
    written = render.render("training", found, tmp_path)
    assert {path.suffix for path in written} == {".pdf", ".png", ".csv"}
    table = pd.read_csv(tmp_path / "training.csv")
    assert list(table["loss"]) == pytest.approx(list(said.values()), abs=5e-6)
    assert list(table.columns) == list(curves.Point._fields)


def test_several_records_of_one_training_are_one_line(run):
    record = records.read(run[0] / f"records/reconstruction/{PLACE}.json")
    assert len(list(curves.of_records([record, record.model_copy(update={"method": "pgd"})]))) == 5
    other = record.model_copy(update={"seed": 1})
    assert len(list(curves.of_records([record, other]))) == 10


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 800, 24_800])
def test_a_record_keeps_few_points_with_the_first_and_the_last_and_runs_share_their_epochs(count):
    history = [1 / (1 + epoch) for epoch in range(count)]
    kept = curves.thinned(history)
    assert len(kept["epoch"]) <= curves.POINTS + 2 and kept["epoch"][-1] == count
    assert (kept["epoch"][0], kept["loss"][0]) == (1, 1.0)
    assert [1 / epoch for epoch in kept["epoch"]] == pytest.approx(kept["loss"], rel=1e-6)
    if count <= curves.POINTS:
        assert kept["epoch"] == list(range(1, count + 1))
    stopped = curves.thinned(history[: count - count // 10])
    assert len(set(stopped["epoch"]) - set(kept["epoch"])) <= 1 + (count == 101) * 50


def test_records_without_a_curve_are_left_out_and_none_is_an_error(run, tmp_path):
    path = tmp_path / "results" / "x" / f"records/reconstruction/{PLACE}.json"
    content = json.loads((run[0] / f"records/reconstruction/{PLACE}.json").read_text())
    older = records.Record.model_validate(
        {key: value for key, value in content.items() if key not in ("curve", "checksum")}
    )
    older.save(path)
    assert "curve" not in json.loads(path.read_text())  # as records of earlier versions
    with pytest.raises(InputError, match="no records with a curve"):
        render.records_of("training", tmp_path / "results" / "x")
    with pytest.raises(InputError, match="no record has a training curve"):
        render.render("training", [path], tmp_path)


def test_what_is_no_checkpoint_is_named(run, tmp_path):
    storage.write_tensors(tmp_path / "a.safetensors", {}, {"history": [1.0]})
    with pytest.raises(BadFile, match=r"a\.safetensors: not a checkpoint"):
        curves.of_checkpoint(tmp_path / "a.safetensors")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no checkpoints"):
        exported(tmp_path / "empty")
    with pytest.raises(InputError, match="give one of them"):
        exported(run[0], "--out", tmp_path / "c.csv", "--tensorboard", tmp_path)


def test_tensorboard_reads_the_same_losses(run, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # the second time replaces the first
        exported(run[0] / "checkpoints", "--tensorboard", tmp_path)
    reader = EventAccumulator(str(tmp_path / run[0].name / PLACE))
    reader.Reload()
    events = reader.Scalars("training loss")
    assert {event.step: event.value for event in events} == pytest.approx(run[1], abs=5e-6)
    assert len(events) == 5


def test_trainings_of_one_name_have_separate_folders(run, tmp_path):
    """A classifier of Table 1 and one of Figure 10 (a) have the same data set, model, method and seed."""
    whole = (run[0] / f"checkpoints/{PLACE}.safetensors").read_bytes()
    places = [f"{scale}/checkpoints/{kind}{PLACE}" for scale in ("a", "b") for kind in ("", "robustness/")]
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / f"{place}.safetensors").write_bytes(whole)
    exported(tmp_path, "--tensorboard", tmp_path / "events")
    found = {path.parent.relative_to(tmp_path / "events") for path in (tmp_path / "events").rglob("events*")}
    assert {path.as_posix() for path in found} == {place.replace("/checkpoints", "") for place in places}


@pytest.mark.parametrize(("options", "lost"), [("", True), ("--out c.csv", False)])
@pytest.mark.parametrize("shell", [">/dev/full", ">&-"])
def test_points_that_are_lost_are_an_error(run, tmp_path, options, lost, shell):
    command = f"'{sys.executable}' -m uae.cli curves '{run[0]}/checkpoints' {options} {shell}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == int(lost), done.stderr
    assert lost or (tmp_path / "c.csv").read_text().startswith("dataset,")


def test_without_tensorboard_it_says_what_to_install(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        exported(run[0] / "checkpoints", "--tensorboard", tmp_path)
