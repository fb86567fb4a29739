"""The report's words: the summary, sections and reasons, from verdicts and records made by hand."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from tests import record_files
from tests.unit.paper.test_claims import claim
from tests.unit.paper.test_paper import RECORDS, STAGE, record
from uae import records
from uae.paper import claims, gain_figure, reasons, report, story, tables
from uae.paper.perturbation import GREY_LEVEL

ROW = claims.Row("mnist/convolutional", "mnist@500", "fails", 0.2, 0.9, 0.1, 2, 0.99, 0.9, 20, 20)
KEY = ("reconstruction", "mnist@500", "mnist", "convolutional", "mine-uae")
SHARE = {"cells": {"metric": "asr"}, "is": "at least", "than": 0.9}


def verdict(name, *rows, **keys):
    return claims.Verdict(claim(**{**SHARE, **keys}), name, list(rows))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (verdict(claims.REPRODUCED, replace(ROW, state="holds")), ""),
        (verdict(claims.NOT_REPRODUCED, ROW), "MNIST, Convolutional gives 20.0%, claimed at least 90.0%."),
        (
            verdict(claims.PARTLY, replace(ROW, state="holds"), ROW, replace(ROW, ours=0.1)),
            "2 of 3 comparisons fail; the furthest: MNIST, Convolutional gives 10.0%, claimed at least "
            "90.0%.",
        ),
        (
            verdict(claims.PARTLY, replace(ROW, state="holds"), replace(ROW, state="inconclusive")),
            "1 of 2 comparisons hold; 1 too close for these runs.",
        ),
        (
            verdict(claims.INCONCLUSIVE, replace(ROW, state="inconclusive", ours=0.85)),
            "The difference is −5.0 points, the spread of the runs 10.0 points: too small for these runs.",
        ),
        (
            verdict(
                claims.NO_PERTURBATION,
                replace(ROW, state=claims.NO_PERTURBATION, change=GREY_LEVEL / 8),
                replace(ROW, state=claims.NO_PERTURBATION, change=GREY_LEVEL / 4),
            ),
            "The UAEs are their originals: their median change is at most 0.25 of one grey level, so that "
            "retraining with them is retraining on the originals.",
        ),
    ],
)
def test_a_claim_that_does_not_hold_has_one_sentence_of_reason(found, text):
    assert reasons.reason(found) == text


@pytest.mark.parametrize(
    ("metric", "left", "right", "text"),
    [
        ("asr", 0.6, 0.1, "+50.0 points"), ("asr", 0.1, 0.1, "0 points"),
        ("test_error", 0.002, 0.004, "−50.0%"),
        ("test_error", 0.004, 0.004, "0%"), ("mi_late_gain", 4.5, 0.001, "+4.5"),
        ("slope", -0.002, -0.5, "+0.498"),
    ],
)  # fmt: skip
def test_a_difference_is_in_the_unit_of_what_is_compared(metric, left, right, text):
    one = claim(cells={"metric": metric})
    assert reasons.difference(one, left, right) == text


def test_what_a_comparison_is_about_is_said_in_names():
    assert reasons.where(replace(ROW, label="mnist/madry asr@0.1")) == "MNIST, Madry, ε = 0.1"
    shown = reasons._row(claim(**SHARE), replace(ROW, images=1, images_other=1, runs=1))
    assert shown["basis"] == "mnist@500, 1 run, 1 image" and shown["against"] == "at least 90.0%"


def test_the_summary_is_of_the_records():
    """One of two autoencoders' UAEs is its originals; the medians are those of the two."""
    loaded = [*RECORDS, record("mine-uae", seed=1, test_error=0.003, asr=0.5)]
    cells = tables.tidy("table4", loaded)
    (gain,) = gain_figure.gains(cells)
    assert gain[1:4] == pytest.approx((50, 37.5, 100 * (1 - 0.00256 / 0.00294)))  # of the seeds of each
    verdicts = [
        verdict(claims.REPRODUCED, ROW),
        verdict(claims.NOT_REPRODUCED, ROW, statement="It works."),
        verdict(claims.REPRODUCED, ROW, ours=True),
    ]
    text = "\n".join(story.summary(loaded, verdicts, {KEY: 0.0, ("x",) * 5: 1.0}, [gain]))
    assert "7 runs with 2 seeds on MNIST" in text and "on CPU." in text
    assert "1 of the paper's 2 claims" in text and "1 claim: that" in text and "it works" in text
    assert "1 of 2 models were retrained" in text and "in 1 autoencoder" in text and "by 50%" in text
    weak = [verdict(claims.AGREES, ROW), verdict(claims.NOT_REPRODUCED, ROW, statement="MinMax works.")]
    text = "\n".join(story.summary(loaded, weak, {}, []))
    assert "0 of the paper's 2 claims. 1 more is in agreement" in text and ">MinMax works<" in text
    preview = "\n".join(story.summary(loaded, verdicts, {}, [gain], preview=True))
    assert "claims" not in preview and "7 runs" in preview


def test_rows_of_one_model_on_two_parts_of_the_data_are_named_by_the_data():
    part = [r.model_copy(update={"variant": "mnist@10"}) for r in RECORDS]
    (alone,) = gain_figure.gains(tables.tidy("table4", RECORDS))
    both = gain_figure.gains(tables.tidy("table4", [*RECORDS, *part]))
    assert alone.name == "MNIST, Convolutional"
    assert [gain.name for gain in both] == ["mnist-5k@500, Convolutional", "mnist@10, Convolutional"]


def test_without_a_data_set_the_summary_is_empty():
    """The preview's first records are those of the estimator's trial, whose pairs are no data set."""
    trial = [record("mine-uae").model_copy(update={"experiment": "estimator"})]
    assert story.summary(trial, [], {}, [], preview=True) == []
    assert not any("What was run" in text for text in story.summary(trial, [], {}, []))


def test_the_summary_counts_a_job_that_several_records_share_once():
    """Here they share a training of an hour; each has an evaluation of a second or so."""
    training = {**STAGE, "seconds": 3600.0}
    shared = [
        r.model_copy(update={"provenance": {
            "training": records.Provenance(**training),
            "evaluation": records.Provenance(**STAGE | {"seconds": 1.0 + number}),
        }})
        for number, r in enumerate(RECORDS)
    ]  # fmt: skip
    (text,) = story.summary(shared, [], {}, [], preview=True)
    assert "in 1 hour on CPU" in text
    assert f"{3600 + sum(range(1, 7))} s in all" in report._provenance(shared)
    rows = report._seconds(shared).to_dict("records")
    assert [(row["stage"], row["count"], row["sum"]) for row in rows] == [
        ("training", 1, 3600.0),
        ("evaluation", 6, 21.0),
    ]
    other = shared[0].model_copy(update={"model": "dense"})
    assert len(records.jobs([*shared, other])) == len(records.jobs(shared)) + 2


def test_a_drawing_has_everything_within_it():
    found = [gain_figure.Gain("a", -20.0, 30.0, None, False), gain_figure.Gain("b", 3.0, -1.0, 70.0, True)]
    drawn = gain_figure.drawing(found)
    places = [row[name] for row in drawn["rows"] for name in ("uae", "control", "paper")]
    assert all(gain_figure.LEFT <= place <= gain_figure.WIDTH for place in places if place is not None)
    assert dict(map(reversed, drawn["ticks"]))["0"] > gain_figure.LEFT
    assert [mark for mark, *_ in drawn["legend"]] == ["uae", "flat", "control", "paper"]
    assert all(x + 10 + 6 * len(text) <= gain_figure.WIDTH for _, x, _, text in drawn["legend"])
    assert drawn["bottom"] < min(y for _, _, y, _ in drawn["legend"])
    assert max(y for _, _, y, _ in drawn["legend"]) < drawn["height"]
    assert gain_figure.drawing([]) == {"rows": []}


def test_the_marks_of_the_axis_do_not_touch():
    """With the committed gains, from -11 to 57 %, steps of 10 % had labels over each other."""
    ticks = gain_figure.drawing([gain_figure.Gain("a", 50.0, -10.7, 56.7, True)])["ticks"]
    places = sorted(x for x, _ in ticks)
    room = min(right - left for left, right in itertools.pairwise(places))
    assert room > 10 * max(len(text) for _, text in ticks)  # pixels; a letter takes nine


@pytest.mark.parametrize("scale", ["paper", "preview"])
def test_no_odd_numbers_in_the_report(tmp_path, scale):
    for r in [*RECORDS, record("l2-uae", test_error=0.006, asr=0.0)]:
        r.save(record_files.path(tmp_path / "records" / "reconstruction", r.method, r.seed, r.draw))
    report.write(tmp_path, tmp_path / "report.html", scale)
    text = re.sub(r"<[^>]*>", " ", (tmp_path / "report.html").read_text().partition("<body")[2])
    assert not re.search(
        r"\b1 (images|threads|runs|records|claims|seeds)\b|[+-]0\.0e|\de-\d|record\(s\)", text
    )
    assert not re.search(r"✗|\b(nan|None|inf)\b", text)
