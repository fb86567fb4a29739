"""What comes from elsewhere, with the real Snakemake: metadata, times to come, names that are commands."""

import gzip
import json
import os
import time

import pytest

from tests.workflow.conftest import copy


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return copy(tmp_path_factory.mktemp("foreign") / "project")


def test_packed_metadata_overwrite_nothing_not_even_in_a_dry_run(small):
    victim = small.folder.parent / "victim"
    victim.write_text("precious")
    packed = small.folder / "results" / "preview" / "metadata.json.gz"
    packed.parent.mkdir(parents=True)
    for name in (str(victim), "../../../victim", "../locks/x"):
        packed.write_bytes(gzip.compress(json.dumps({"metadata": {name: {"rule": "x"}}}).encode()))
        run = small.run("snakemake", "-n", "--cores", "1", check=False)
        text = run.stdout + run.stderr
        assert run.returncode == 1 and "Traceback" not in text
        assert "results/preview/metadata.json.gz: not what a run left" in text and "delete it" in text
        assert victim.read_text() == "precious" and not (small.folder / ".snakemake" / "locks" / "x").exists()
    packed.unlink()


def test_an_input_with_a_time_to_come_costs_nothing(small):
    """Snakemake took what a job had made for older than its input, and deleted it."""
    source = small.folder / "src" / "uae" / "data" / "prepared.py"
    os.utime(source, (time.time() + 86400,) * 2)
    name = "data/prepared/mnist-5k@60.safetensors"
    run = small.run("snakemake", name, "--cores", "1")
    assert (small.folder / name).stat().st_size > 0
    said = run.stdout + run.stderr
    assert "src/uae/data/prepared.py: its time was in the future and is now the present." in said
    assert "Scale preview: " in said
    assert source.stat().st_mtime <= time.time()
    assert small.plan(name) == {}


def test_a_scale_file_that_is_a_command_is_not_run(small):
    (small.folder / "$(touch X).yaml").write_text((small.folder / "config/scales/preview.yaml").read_text())
    run = small.run("snakemake", "-n", "--cores", "1", "--config", "scale=$(touch X).yaml", check=False)
    assert run.returncode == 1 and "names a folder under results/" in run.stdout + run.stderr
    assert not (small.folder / "X").exists()
