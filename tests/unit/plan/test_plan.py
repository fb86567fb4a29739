"""The plan: every file has a job, which reads planned files alone, and names say what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from uae import config, identity, plan, records


def planned(scale="paper", **over):
    return plan.plan(config.load({"scale": scale} | over))


@pytest.mark.parametrize("scale", ["preview", "reduced", "paper"])
def test_every_job_reads_planned_files_and_writes_a_place(scale):
    jobs = planned(scale)
    for output, job in jobs.items():
        names = identity.names(output)
        assert job.output == output and identity.place(output)
        kind = {"train": "checkpoints", "attack": "uae", "evaluate": "records"}[job.stage]
        assert names.kind == kind
        outside = [path for path in job.files if path not in jobs]
        folders = [Path(path).parts[:2] for path in outside]
        assert folders.count(("data", "prepared")) == len(folders) - ("published" in job.inputs) <= 1
        assert folders.count(("data", "raw")) == ("published" in job.inputs)


SEEDS = {"seeds": list(range(6)), "robustness": {"seeds": list(range(15))}}


@pytest.mark.parametrize(("scale", "over"), [("preview", {}), ("preview", SEEDS), ("paper", {})])
def test_together_are_all_jobs_and_a_file_is_made_before_it_is_read(scale, over):
    jobs, made, done = planned(scale, **over), [], set()
    for group in plan.together(jobs).values():
        inside = {job.output for job in group}
        for job in group:
            assert not (set(job.files) & inside) - done, job.output
            done.add(job.output)
            made.append(job.output)
    assert sorted(made) == sorted(jobs)


def test_a_group_is_short_enough_for_an_argument_with_any_number_of_seeds():
    """Linux allows 128 KiB. A longer setting moves no file to another group, so it reruns no other."""
    jobs = planned("preview", **SEEDS)
    groups = plan.together(jobs)
    for group in groups.values():
        assert len(json.dumps([job._asdict() for job in group])) < 2**16
    other = plan.together(planned("preview", **SEEDS, attack={"steps": 123456}))
    assert {name: [job.output for job in group] for name, group in groups.items()} == {
        name: [job.output for job in group] for name, group in other.items()
    }
    assert not any("_seed" in name for name in plan.together(planned("preview")))


@pytest.mark.parametrize("over", [{}, SEEDS])
def test_groups_do_not_wait_for_each_other_in_a_circle(over):
    groups = plan.together(planned("preview", **over))
    where = {job.output: name for name, group in groups.items() for job in group}
    reads = {
        name: {where[path] for job in group for path in job.files if path in where} - {name}
        for name, group in groups.items()
    }
    while reads:
        ready = [name for name, others in reads.items() if not others & reads.keys()]
        assert ready
        for name in ready:
            del reads[name]


def test_a_second_round_attacks_the_model_of_the_first():
    """Appendix H: of two rounds, the second's UAEs are of the retrained model."""
    also = {"also": ["mine-uae-2", "l2-uae-2", "matched-2"]}
    jobs = planned(reconstruction={"svhn": {"models": {"sparse": also}}})
    row = "results/paper/{}/svhn/sparse/{}/seed0.safetensors"
    for attack, attacked in [
        ("mine-uae", "original"), ("l2-uae", "original"), ("mine-uae-2", "mine-uae"), ("l2-uae-2", "l2-uae"),
    ]:  # fmt: skip
        assert jobs[row.format("uae", attack)].inputs["checkpoint"] == row.format("checkpoints", attacked)
    retrained = jobs[row.format("checkpoints", "mine-uae-2")]
    assert retrained.inputs["uae"] == [row.format("uae", name) for name in ("mine-uae", "mine-uae-2")]
    assert jobs[row.format("checkpoints", "matched-2")].inputs["uae"] == []


def test_a_job_knows_the_settings_of_all_that_it_is_made_from():
    output = "results/paper/records/robustness/mnist/classifier/mine-uae/seed0.json"
    made = plan.made(planned(), [output])
    assert set(made) == {
        "checkpoints/robustness/mnist/classifier/mine-uae",
        "uae/mnist/convolutional/mine-uae",
        "checkpoints/mnist/convolutional/original",
    }
    changed = plan.made(planned(models={"convolutional": {"lr": 0.5}}), [output])
    differing = {folder for folder in made if made[folder] != changed[folder]}
    assert differing == {"checkpoints/mnist/convolutional/original"}


@pytest.mark.parametrize("only", ["*", "mnist/classifier", "mnist/adversarial-training", "*/simclr"])
def test_nothing_is_made_that_nothing_measures(only):
    """Of the row whose UAEs robust models take, only what these need: not its other retrainings."""
    jobs = planned(only=only)
    read = {file for job in jobs.values() for file in job.files}
    assert all(output in read for output, job in jobs.items() if job.stage != "evaluate")
    assert any(job.stage == "attack" for job in jobs.values())


def test_a_seed_in_place_of_all():
    cfg = config.load({"scale": "paper"})
    seeds = {plan.seed_of(output) for output in plan.plan(cfg)}
    assert seeds == {0, 1, 2}  # robust models have three
    other = plan.plan(cfg, 7)
    # robust models of another seed still take the UAEs of the one that the configuration names
    assert {plan.seed_of(output) for output in other} == {7}
    record = "results/paper/checkpoints/robustness/mnist/classifier/mine-uae/seed7.safetensors"
    assert other[record].inputs["uae"] == ["results/paper/uae/mnist/convolutional/mine-uae/seed0.safetensors"]


def test_figures_of_single_runs_show_the_first_seed():
    jobs = planned(seeds=[3, 4])
    found = {plan.seed_of(output) for output in jobs if "/figure2/" in output or "/figure5/" in output}
    assert found == {3}
    assert {plan.seed_of(output) for output in jobs if "/table3/" in output} == {3, 4}


def test_a_published_model_is_downloaded_and_has_one_training():
    jobs = plan.plan(config.load({"scale": "paper", "only": "mnist/trades*"}))
    folder = "results/paper/{}/robustness/mnist/trades-published/{}"
    trainings = [path for path in jobs if path.startswith(folder.format("checkpoints", ""))]
    (made,) = trainings
    assert jobs[made].inputs["published"] == "data/raw/trades-mnist/model_mnist_smallcnn.pt"
    assert jobs[made].settings["checkpoint"] == "trades-mnist" and "fit" not in jobs[made].settings
    longer = jobs[folder.format("records", "minmax-1000-steps/seed0.json")]
    assert longer.settings["minmax"]["steps"] == 1000 and longer.settings["minmax"]["beta"] == 0.1
    sanity = jobs["results/paper/records/robustness/mnist/trades/sanity/seed2.json"]
    assert sanity.inputs["surrogate"].endswith("madry/original/seed2.safetensors")


@pytest.mark.parametrize("scale", ["reduced", "paper"])
def test_a_committed_record_has_the_data_that_its_scale_plans(scale):
    """Else a run at the scale would replace it by a measurement of other data."""
    root = Path(__file__).parents[3]
    copies = {  # of a mirror
        "isolet": {"data": "isolet-npz"},
        "mice-protein": {"data": "mice-protein-csv"},
        "mice-protein-as-published": {"data": "mice-protein-as-published-csv"},
    }
    jobs = planned(scale, reconstruction=copies)
    for path in (root / "results" / scale / "records").rglob("*.json"):
        record = records.read(path)
        job = jobs.get(str(path.relative_to(root)).replace(f"seed{record.seed}", "seed0"))
        if job and "data" in job.inputs:
            assert Path(job.inputs["data"]).stem == record.variant, path
