"""`uae plan`: hours from records, and nothing where none was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from uae import config, identity, plan, records
from uae.cli import app
from uae.plan import hours

GPU, CPU = "NVIDIA H100 80GB HBM3", "CPU, 1 threads"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def jobs_of(scale: str, only: str = "*"):
    return plan.plan(config.load({"scale": scale, "only": only}))


def measured(job, seconds: float, device: str) -> dict:
    return {
        "commit": "x",
        "settings_hash": identity.hash_of(job.settings),
        "packages": {},
        "python": "3",
        "device": device,
        "seconds": seconds,
        "peak_memory_mib": 1,
    }


def record(scale: str, output: str, device: str, variant: str | None = None, **seconds: float) -> None:
    """A record whose stages took so long."""
    jobs = jobs_of(scale)
    job, names = jobs[output], identity.names(output)
    behind = {"evaluation": job, "training": jobs[job.inputs["checkpoint"]]}
    if job.inputs["uae"]:
        behind["attack"] = jobs[job.inputs["uae"][0]]
    records.Record(
        experiment=names.experiment,
        dataset=names.dataset,
        variant=variant or Path(job.inputs["data"]).stem,
        title="t",
        model=names.model,
        method=names.method,
        seed=names.seed,
        draw=names.draw,
        metrics={},
        settings={},
        provenance={stage: measured(behind[stage], time, device) for stage, time in seconds.items()},
    ).save(output)


def place(scale: str, method: str, row: str = "mnist/dense", seed: int = 0) -> str:
    return f"results/{scale}/records/reconstruction/{row}/{method}/seed{seed}.json"


def test_without_a_record_no_hour_is_named(here):
    jobs = jobs_of("paper", "mnist/dense")
    found = hours.by_stage(jobs, hours.runs(Path("results")))
    assert sum(stage.jobs for stage in found.values()) == len(jobs)
    assert not any(stage.measured or stage.scaled or sum(stage.hours.values()) for stage in found.values())
    answer = CliRunner().invoke(app, ["plan", "--scale", "paper", "--only", "mnist/dense"])
    assert "Not measured, train: mnist/dense." in answer.stdout and "Measured on:" not in answer.stdout


def test_a_job_takes_what_its_kind_took_whatever_its_seed(here):
    record("reduced", place("reduced", "original"), CPU, training=3600, evaluation=36)
    record("reduced", place("reduced", "mine-uae"), GPU, training=7200, attack=1800, evaluation=18)
    found = hours.by_stage(jobs_of("reduced", "mnist/dense"), hours.runs(Path("results")))
    # The other retrainings, of the same settings on as many samples, are of one kind with that on MINE-UAEs.
    training = found["train"]
    retrained = training.jobs - 1
    assert training.measured == training.jobs and not training.missing
    assert training.counted == {"gpu": retrained, "cpu": 1}
    assert training.hours == {"gpu": pytest.approx(2 * retrained), "cpu": pytest.approx(1)}
    attack = found["attack"]
    assert attack.measured == 1 and attack.hours["gpu"] == pytest.approx(0.5)
    assert found["evaluate"].measured == 2  # no kind but their own
    assert found["evaluate"].hours == {"gpu": pytest.approx(0.005), "cpu": pytest.approx(0.01)}


def test_another_size_is_scaled_by_samples_times_steps_and_said_to_be(here):
    """mnist/dense: 10,000 of 60,000 images at the reduced scale, the same epochs and attack steps."""
    record("reduced", place("reduced", "original"), CPU, training=3600, evaluation=36)
    record("reduced", place("reduced", "mine-uae"), CPU, training=3600, attack=1800, evaluation=36)
    jobs = jobs_of("paper", "mnist/dense")
    runs = hours.runs(Path("results"))
    found = hours.by_stage(jobs, runs)
    assert found["train"].measured == found["attack"].measured == 0
    original = {path: job for path, job in jobs.items() if "checkpoints/mnist/dense/original" in path}
    alone = hours.by_stage(original, [run for run in runs if "/original/" in run.job.output])["train"]
    assert alone.scaled == 1 and alone.hours["cpu"] == pytest.approx(6)
    mine = {path: job for path, job in jobs.items() if "/uae/mnist/dense/mine-uae/" in path}
    assert hours.by_stage(mine, runs)["attack"].hours["cpu"] == pytest.approx(3)
    assert found["evaluate"].scaled == 0 and found["evaluate"].missing == {"reconstruction/mnist/dense"}
    answer = CliRunner().invoke(app, ["plan", "--scale", "paper", "--only", "mnist/dense"])
    assert "Scaled: the job was measured in another size" in answer.stdout
    asked = ["plan", "table4", "--scale", "paper", "--only", "mnist/dense", "--json"]
    told = json.loads(CliRunner().invoke(app, asked).stdout)
    assert told["stages"]["train"]["scaled"] == told["stages"]["train"]["jobs"] > 1
    assert told["stages"]["train"]["gpu_hours"] is None and told["measured_on"] == [CPU]


def test_a_record_of_other_data_than_its_scale_has_now_is_of_those_data(here):
    record("reduced", place("reduced", "original"), CPU, "mnist@2000", training=3600)
    path = "checkpoints/mnist/dense/original"
    original = {name: job for name, job in jobs_of("paper").items() if path in name}
    found = hours.by_stage(original, hours.runs(Path("results")))["train"]
    assert found.scaled == 1 and found.hours["cpu"] == pytest.approx(30)


def test_other_settings_are_another_kind(here, monkeypatch):
    record("reduced", place("reduced", "original"), CPU, training=3600)
    run = hours.runs(Path("results"))
    assert len(run) == 1
    jobs = plan.plan(
        config.load({"scale": "reduced", "only": "mnist/dense", "models": {"dense": {"lr": 0.5}}})
    )
    checkpoint = {path: job for path, job in jobs.items() if "checkpoints/mnist/dense/original" in path}
    assert hours.by_stage(checkpoint, run)["train"].measured == 0
    # A record of other settings than the scale now has is left out.
    path = Path(place("reduced", "original"))
    content = json.loads(path.read_text())
    content["provenance"]["training"]["settings_hash"] = "another"
    content.pop("checksum")
    records.Record.model_validate(content).save(path)
    assert not hours.runs(Path("results"))


def test_an_attack_is_scaled_from_one_of_the_same_kind_alone():
    """PGD and MinMax on one classifier, with other numbers of images."""
    full = jobs_of("paper")
    names = [name for name in full if "/uae/mnist/classifier/" in name and "draw" not in name]
    pgd, minmax = (next(name for name in names if f"/{kind}@" in name) for kind in ("pgd", "minmax"))
    fewer = full[pgd].settings | {"images": full[pgd].settings["images"] // 4}
    run = hours.Run(full[pgd]._replace(settings=fewer), 900.0, CPU)
    assert hours.by_stage({pgd: full[pgd]}, [run])["attack"].hours["cpu"] == pytest.approx(1)
    assert hours.by_stage({minmax: full[minmax]}, [run])["attack"].missing == {"mnist/classifier"}


def test_an_item_asks_for_the_jobs_behind_it_alone(here):
    asked = ["plan", "figure9", "--scale", "paper", "--json"]
    stages = json.loads(CliRunner().invoke(app, asked).stdout)["stages"]
    rows = {row for stage in stages.values() for row in stage["rows"]}
    assert {"robustness/mnist/adversarial-training", "robustness/cifar10/adversarial-training"} <= rows
    assert not any("madry" in row or "svhn" in row for row in rows)
    elsewhere = CliRunner().invoke(app, [*asked, "--results", "nowhere"])
    assert "nowhere: no records, so no hours are known" in elsewhere.stderr and json.loads(elsewhere.stdout)
    wrong = CliRunner().invoke(app, ["plan", "figur9"]).exception
    assert "did you mean figure9?" in str(wrong)
