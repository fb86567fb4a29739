"""Records of another scale stand where a scale has none, marked by the name of their data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.paper.test_paper import record
from uae import config, records
from uae.cli import app
from uae.errors import ConfigError, InputError
from uae.paper import filling, render

ROOT = Path(__file__).parents[3]


def write(scale: Path, place: str, variant: str = "mnist", **metrics) -> None:
    """A record, or the file of a figure, at a place below records/."""
    path = scale / "records" / place
    if path.suffix == ".json":
        model, method, number = path.parts[-3], path.parts[-2], int(path.stem.removeprefix("seed"))
        metrics = metrics or {"test_error": 0.1, "asr": 0.5}
        record(method, seed=number, model=model, variant=variant, **metrics).save(path)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


ROW, OTHER = "reconstruction/mnist/dense", "reconstruction/mnist/convolutional"
REDUCED = [f"{ROW}/{method}/seed0.json" for method in ("original", "matched", "mine-uae", "l2-uae")]


@pytest.fixture
def scales(tmp_path):
    """The folders of two scales; the second has four methods of a row, another row, and figures."""
    full, reduced = tmp_path / "full", tmp_path / "reduced"
    for place in [*REDUCED, f"{OTHER}/mine-uae/seed0.json"]:
        write(reduced, place, "mnist@9")
    for place in ("figure3/mnist/classifier", "figure3/svhn/classifier", "figure5/mnist/dense/mine-uae"):
        write(reduced, f"{place}/seed0.safetensors")
    return full, reduced


def taken(full: Path, fill: str | None = "reduced", **over) -> list[str]:
    found = filling.filled(full, fill, **over)
    return [path.relative_to(full.parent / "reduced" / "records").as_posix() for path in found]


def test_a_scale_without_records_takes_all(scales):
    full, reduced = scales
    assert filling.filled(full, "reduced") == filling.files(full, "reduced") == filling.own(reduced)
    assert taken(full, kind="reconstruction") == sorted([*REDUCED, f"{OTHER}/mine-uae/seed0.json"])


@pytest.mark.parametrize(
    ("there", "rows"),
    [
        (["original"], REDUCED),
        (["mine-uae"], [REDUCED[0], REDUCED[1], REDUCED[3]]),  # its own wins, whatever the seed
        (["original", "matched", "mine-uae"], [REDUCED[0], REDUCED[1], REDUCED[3]]),
        (["original", "mine-uae", "l2-uae"], REDUCED[:2]),  # `matched` is what is lacking
        (["original", "matched", "mine-uae", "l2-uae"], []),
        (["original", "matched", "mine-uae", "l2-uae", "ga-0.01"], []),
    ],
)
@pytest.mark.parametrize("live", [False, True])
def test_a_missing_method_comes_with_its_rows_original_and_control(scales, there, rows, live):
    """Whether what the scale has is there or will be."""
    full, _ = scales
    places = [f"{ROW}/{method}/seed7.json" for method in there]
    for place in places if not live else []:
        write(full, place)
    planned = [full / "records" / place for place in places] if live else []
    found = taken(full, kind="reconstruction", planned=planned)
    assert found == sorted([*rows, f"{OTHER}/mine-uae/seed0.json"])


def test_what_would_be_pooled_with_own_records_is_left_out(scales):
    """Two of five tries on all of the data have the same data's name."""
    full, _ = scales
    write(full, f"{ROW}/original/seed0.json", "mnist@9")
    assert taken(full, kind="reconstruction") == [f"{OTHER}/mine-uae/seed0.json"]


@pytest.mark.parametrize("live", [False, True])
def test_a_method_of_more_seeds_stays_with_its_original_and_control(scales, live):
    """One full-size seed does not hide three of less data; as many seeds do."""
    full, reduced = scales
    extra = f"{ROW}/mine-uae/seed1.json"
    write(reduced, extra, "mnist@9")
    write(reduced, f"{ROW}/matched/seed1.json", "mnist@9")  # more of the control alone changes nothing
    places = [f"{ROW}/{name}/seed0.json" for name in ("original", "matched", "mine-uae", "l2-uae")]
    for place in places if not live else []:
        write(full, place)
    planned = [full / "records" / place for place in places] if live else []
    row = taken(full, kind="reconstruction", planned=planned)
    assert [place for place in row if place.startswith(ROW)] == sorted(
        [REDUCED[0], REDUCED[1], f"{ROW}/matched/seed1.json", REDUCED[2], extra]
    )
    planned.append(full / "records" / extra)
    assert taken(full, kind="reconstruction", planned=planned) == [f"{OTHER}/mine-uae/seed0.json"]


def test_images_are_taken_where_there_are_none(scales):
    full, _ = scales
    write(full, "figure3/mnist/classifier/seed1.safetensors")
    write(full, "figure5/mnist/dense/mine-uae-released/seed0.safetensors")
    assert taken(full, kind="figure3") == ["figure3/svhn/classifier/seed0.safetensors"]
    assert taken(full, kind="figure5") == ["figure5/mnist/dense/mine-uae/seed0.safetensors"]


def test_without_filling_a_scale_has_what_is_its_own(scales):
    full, _ = scales
    with pytest.raises(InputError, match=r"full/records: no records; run the experiments"):
        filling.load(full, None)
    write(full, REDUCED[0])
    assert taken(full, None) == [] and list(filling.load(full, None)) == [Path(REDUCED[0])]


def test_records_of_both_stand_in_one_table_with_the_names_of_their_data(scales, tmp_path):
    full, _ = scales
    for method, error in (("original", 0.4), ("mine-uae", 0.2)):
        write(full, f"{ROW}/{method}/seed0.json", "mnist", test_error=error)
    loaded = filling.load(full, "reduced", "reconstruction")
    assert len(loaded) == 6 and Path(REDUCED[0]) in loaded  # and beside it that of the other data
    assert loaded[Path("reconstruction/reduced/mnist/dense/original/seed0.json")].variant == "mnist@9"
    render.render("table4", render.records_of("table4", full, "reduced"), tmp_path)
    text = (tmp_path / "table4.md").read_text()
    assert "`mnist`" in text and "`mnist@9`" in text
    render.render("table4", render.records_of("table4", full), tmp_path)
    assert "mnist@9" not in (tmp_path / "table4.md").read_text()


def test_a_damaged_record_is_named(scales):
    full, reduced = scales
    write(full, f"{ROW}/original/seed0.json")
    damaged = reduced / "records" / REDUCED[2]
    damaged.write_text("{")
    with pytest.raises(records.BadFile, match=rf"{damaged}: not a record"):
        filling.load(full, "reduced")


def test_the_commands_fill_as_the_scale_says_and_can_leave_that_out(tmp_path, monkeypatch):
    """`paper` has no full-size record yet: all of its numbers are the reduced scale's."""
    assert [config.load({"scale": name}).fill for name in ("preview", "reduced", "paper")] == [
        None, None, "reduced"
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "results" / "reduced" / "records" / "table1", "results/reduced/records/table1")

    def run(*arguments):
        return CliRunner().invoke(app, list(arguments))

    told = run("verify", "--scale", "paper", "--format", "json")
    assert told.exit_code == 0 and json.loads(told.stdout)["paper"]
    assert json.loads(run("verify", "--scale", "reduced", "--format", "json").stdout) == json.loads(
        told.stdout
    )
    assert run("render", "table1").exit_code == 0 and "`mnist@10000`" in Path("table1.md").read_text()
    assert run("report", "results/paper", "--out", "report.html").exit_code == 0
    for command in (
        ["verify", "--scale", "paper"],
        ["render", "table1"],
        ["report", "results/paper", "--out", "report.html"],
    ):
        assert "no records" in str(run(*command, "--fill", "none").exception)
        assert "--fill nowhere: no records" in str(run(*command, "--fill", "nowhere").exception)


@pytest.mark.parametrize("given", ["paper", "reducd", "../reduced", 3])
def test_a_scale_is_filled_from_another_that_there_is(given):
    with pytest.raises(ConfigError, match=r"fill: "):
        config.load({"scale": "paper", "fill": given})
