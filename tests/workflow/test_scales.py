"""The scales with the real Snakemake: layers of the configuration, and records of another scale."""

from __future__ import annotations

import shutil

import pytest

from tests.workflow.conftest import ROOT, copy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return copy(tmp_path_factory.mktemp("scales"))


def test_the_layers_of_a_run_win_in_their_order(folder):
    """config.yaml, the extended scale, the scale, two files, the command line: by the rows asked for."""
    scale = folder.folder / "config" / "scales" / "own.yaml"
    files = [folder.folder / name for name in ("first.yaml", "second.yaml")]
    scale.write_text("extends: preview\nonly: svhn/sparse\n")
    files[0].write_text("scale: own\nonly: mnist/dense\n")
    files[1].write_text("only: mnist/convolutional\n")

    def rows(*arguments):
        run = folder.run("snakemake", "-n", "raw_mnist", "--cores", "1", *arguments)
        said = (run.stdout + run.stderr).splitlines()
        return next(line.partition(";")[0] for line in said if line.startswith("Scale "))

    both = ("--configfile", *map(str, files))
    assert rows().startswith("Scale preview: ") and rows().endswith("...)")
    with folder.edited("config/config.yaml", 'only: "*"', "only: mnist/dense"):
        assert rows() == "Scale preview: 1 row (mnist/dense)"
        assert rows("--config", "scale=own") == "Scale own: 1 row (svhn/sparse)"
    with folder.edited("config/config.yaml", "scale: preview", "scale: own"):
        assert rows() == "Scale own: 1 row (svhn/sparse)"
    assert rows(*both[:2]) == "Scale own: 1 row (mnist/dense)"
    assert rows(*both) == "Scale own: 1 row (mnist/convolutional)"
    asked = rows(*both, "--config", "only=svhn/*")
    assert asked == "Scale own: 1 row (svhn/sparse)"
    refused = folder.run("snakemake", "-n", "--configfile", "config/config.yaml", check=False)
    assert refused.returncode and "config.yaml: is always read" in refused.stdout + refused.stderr


def test_frozen_and_live_rendering_take_the_same_records_of_another_scale(folder):
    records = ROOT / "results" / "reduced" / "records" / "table1"
    shutil.copytree(records, folder.folder / "results" / "reduced" / "records" / "table1")
    paper = ("table1", "--config", "scale=paper", "only=mnist/dense")
    assert folder.planned(*paper) == folder.planned(*paper, "records=frozen") == {"render_table", "named"}
    folder.run("snakemake", "--cores", "1", *paper, "records=frozen")
    text = (folder.folder / "results" / "paper" / "tables" / "table1.md").read_text()
    assert text == (ROOT / "results" / "paper" / "tables" / "table1.md").read_text()
    assert folder.planned(*paper) - {"named"} == set()
    for records in ("live", "frozen"):
        alone = folder.run("snakemake", "-n", *paper, f"records={records}", "fill=", check=False)
        assert alone.returncode and "table1: this configuration" in alone.stdout + alone.stderr


def test_a_scale_is_rendered_without_the_records_that_would_replace_missing_ones(folder):
    """As after `rm -rf results`: the scale named by `fill` has no records."""
    (folder.folder / "config/scales/alone.yaml").write_text("extends: paper\nfill: preview\n")
    shutil.copytree(ROOT / "results/reduced/records/table1", folder.folder / "results/alone/records/table1")
    frozen = ("--cores", "1", "--config", "scale=alone", "records=frozen")
    folder.run("snakemake", "table1", "results/alone/metrics.json", "results/alone/report.html", *frozen)


def test_a_rendering_that_fails_leaves_what_was_there_and_its_digest(folder):
    scale = folder.folder / "results/torn"
    (folder.folder / "config/scales/torn.yaml").write_text("extends: paper\nfill: null\n")
    for kind in ("table1", "bounds"):
        shutil.copytree(ROOT / "results/reduced/records" / kind, scale / "records" / kind)
    shutil.copytree(ROOT / "results/reduced/records/figure3", scale / "records/figure3")
    targets = ("table1", "figure3", "results/torn/metrics.json", "results/torn/report.html")
    command = ("snakemake", *targets, "-k", "--cores", "1", "--config", "scale=torn", "records=frozen")
    folder.run(*command)
    before = folder.files("results/torn")
    assert {"tables/table1.md", "figures/figure3.png", "metrics.json", "report.html"} <= before.keys()
    for kind in ("table1", "bounds"):
        record = next((scale / "records" / kind).rglob("*.json"))
        record.write_bytes(record.read_bytes()[:100])
        before.pop(str(record.relative_to(scale)))
    assert folder.run(*command, check=False).returncode
    after = folder.files("results/torn")
    assert {name: after.get(name) for name in before} == before


def test_every_character_of_a_scale_s_name_is_its_own(folder):
    (folder.folder / "config/scales/a+b.c@d-e.yaml").write_text("extends: paper\nfill: null\n")
    records = folder.folder / "results/a+b.c@d-e/records/table1"
    shutil.copytree(ROOT / "results/reduced/records/table1", records)
    folder.run("snakemake", "table1", "--cores", "1", "--config", "scale=a+b.c@d-e", "records=frozen")
    assert (records.parents[1] / "tables/table1.csv").exists()


def test_a_mistyped_target_is_answered_with_the_one_that_was_meant(folder):
    run = folder.run("snakemake", "-n", "tabel4", "--cores", "1", check=False)
    said = run.stdout + run.stderr
    assert run.returncode and "tabel4: no target has this name; did you mean table4?" in said
    run = folder.run("snakemake", "-n", "tables", "--cores", "1")
    assert "did you mean" not in run.stdout + run.stderr


def test_a_run_ends_with_where_its_output_is(folder):
    shutil.copytree(ROOT / "results/reduced/records/bounds", folder.folder / "results/end/records/bounds")
    (folder.folder / "config/scales/end.yaml").write_text("extends: paper\nfill: null\n")
    shutil.copytree(ROOT / "results/reduced/records/theorem1", folder.folder / "results/end/records/theorem1")
    run = folder.run("snakemake", "theorem1", "--cores", "1", "--config", "scale=end", "records=frozen")
    assert "results/end: done" in run.stdout + run.stderr


def test_a_forced_download_that_fails_leaves_the_raw_file(folder, monkeypatch):
    """The user may have put it there, and it may be gone upstream."""
    path = folder.folder / "data/raw/isolet/isolet.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"of the user")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setitem(folder.environment, name, "http://127.0.0.1:9")
    forced = ("raw_isolet", "--forceall", "--cores", "1", "--retries", "0", "--config", "scale=paper")
    assert folder.run("snakemake", *forced, check=False).returncode
    assert path.read_bytes() == b"of the user"


def test_the_raw_files_of_a_data_set_are_those_that_it_is_prepared_from(folder):
    """Two data sets can be read from one folder."""
    run = folder.run("snakemake", "-n", "raw_coil-20-nearest", "--cores", "1")
    said = run.stdout + run.stderr
    assert "data/raw/coil-20/" in said and "data/raw/coil-20-nearest" not in said
