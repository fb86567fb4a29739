"""Verdicts on records made by hand, and every claim of the paper on the paper's own cells."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from uae import config, records
from uae.errors import BadFile
from uae.paper import claims, verdicts

STAGE = {
    "commit": "0" * 12, "settings_hash": "x", "packages": {}, "python": "3.11",
    "device": "CPU", "seconds": 1.0, "peak_memory_mib": 1.0,
}  # fmt: skip


def record(
    method, seed=0, dataset="mnist", model="dense", variant=None, experiment="reconstruction", **metrics
):
    return records.Record(
        experiment=experiment,
        dataset=dataset,
        variant=variant or dataset,
        title="",
        model=model,
        method=method,
        seed=seed,
        metrics=metrics,
        settings={},
        provenance={"evaluation": STAGE},
    )


def claim(**changes):
    cells = {"experiment": "reconstruction", "dataset": "mnist", "model": "dense", "method": "mine-uae",
             "metric": "test_error"}  # fmt: skip
    given = {"id": "c", "source": "s", "statement": "t", "is": "lower", "than": {"method": "original"},
             "tolerance": 0, "reason": "r"}  # fmt: skip
    return claims.Claim.model_validate(given | {"cells": cells | changes.pop("cells", {})} | changes)


def verdict(loaded, settings="paper", **changes):
    return claims.evaluate(loaded, [claim(**changes)], settings)[0]


@pytest.mark.parametrize(
    ("direction", "than", "tolerance", "value", "holds"),
    [
        ("lower", 0.5, 0, 0.4, True),
        ("lower", 0.5, 0, 0.5, False),
        ("higher", 0.5, 0, 0.6, True),
        ("higher", 0.5, 0, 0.5, False),
        ("at least", 0.5, 0, 0.5, True),
        ("at least", 0.5, 0.1, 0.4, True),
        ("at least", 0.5, 0.1, 0.39, False),
        ("at most", 0.5, 0, 0.5, True),
        ("at most", 0.5, "20%", 0.6, True),
        ("at most", 0.5, "20%", 0.61, False),
        ("close to", 0.5, 0.1, 0.4, True),
        ("close to", 0.5, 0.1, 0.61, False),
        ("close to", -0.5, "10%", -0.45, True),
        ("close to", -0.5, "10%", -0.44, False),
        ("at least", "improvement_svhn", 0, 0.735, True),
    ],
)
def test_directions_and_tolerances(direction, than, tolerance, value, holds):
    found = verdict([record("mine-uae", asr=value)], cells={"metric": "asr"}, **{"is": direction}, than=than,
                    tolerance=tolerance)  # fmt: skip
    assert found.verdict == (claims.AGREES if holds else claims.NOT_REPRODUCED)
    assert found.rows[0].ours == value and found.rows[0].spread is None


def test_improvement_and_gain():
    loaded = [record("original", test_error=0.4), record("mine-uae", test_error=0.3)]
    for quantity, value in (("improvement", 0.25), ("gain", -0.1)):
        found = verdict(loaded, quantity=quantity, base={"method": "original"}, than=value, tolerance=1e-9,
                        **{"is": "close to"})  # fmt: skip
        assert found.verdict == claims.AGREES and found.rows[0].ours == pytest.approx(value)


def test_a_verdict_on_few_images_says_so():
    given = [
        record("mine-uae", mi_mean=9.0, n_attacked=99.0),
        record("original", mi_mean=1.0, n_attacked=1e3),
    ]
    found = verdict(given, cells={"metric": "mi_mean"}, **{"is": "higher"})
    assert found.verdict == claims.AGREES
    assert verdicts.verdict_text(found) == "in agreement; fewer than 100 images; spread unknown"
    assert verdicts.row_text(found.claim, found.rows[0]).endswith("99 and 1,000 images: few)")
    assert found.as_dict()["caveats"] == found.caveats
    gain = verdict(given, cells={"metric": "mi_mean"}, quantity="gain", base={"method": "original"},
                   than=1.0, tolerance=0, **{"is": "at least"})  # fmt: skip
    assert gain.rows[0].few


def test_a_row_says_how_many_images_were_attacked():
    given = [record("mine-uae", asr=0.9, n_attacked=6.0), record("original", asr=1.0, n_attacked=1000.0)]
    row = verdict(given, cells={"metric": "asr"}).rows[0]
    assert row.basis == "mnist, 1 run, 6 and 1,000 images"
    row = verdict(given, cells={"metric": "asr"}, than=0.5, **{"is": "at least"}).rows[0]
    assert row.basis == "mnist, 1 run, 6 images"


def test_a_distance_on_features_that_are_not_inceptions_says_so():
    """FID and KID are defined by Inception's features."""
    loaded = [record("mine-uae", fid=3.0), record("original", fid=4.0)]
    for network, said in (("Inception-v3", False), ("the classifier's penultimate layer", True)):
        given = [r.model_copy(update={"settings": {"extractor": network}}) for r in loaded]
        (row,) = verdict(given, cells={"metric": "fid"}).rows
        assert ("features: the classifier's penultimate layer" in row.basis) is said
    given = [record("mine-uae", asr=1.0), record("original", asr=0.5)]
    given = [r.model_copy(update={"settings": {"extractor": "a network"}}) for r in given]
    assert "features" not in verdict(given, cells={"metric": "asr"}).rows[0].basis


def test_means_are_over_the_seeds_that_both_sides_have():
    """Seed 1 is kinder to every method, but one of them has seed 0 alone."""
    loaded = [record("mine-uae", seed=i, test_error=v) for i, v in enumerate([0.40, 0.30])]
    row = verdict([*loaded, record("original", seed=0, test_error=0.39)]).rows[0]
    assert (row.ours, row.ours_other, row.runs) == (0.40, 0.39, 1)
    assert row.state == "inconclusive"  # the spread is that of all runs
    apart = [record("mine-uae", seed=1, test_error=0.3), record("original", seed=0, test_error=0.4)]
    assert verdict(apart).verdict == claims.NOT_RUN


def test_the_spread_of_an_improvement_is_carried_over():
    """To first order: (a/b)·√((s_a/a)² + (s_b/b)²)."""
    loaded = [record("original", seed=s, test_error=v) for s, v in enumerate([0.39, 0.41])]
    loaded += [record("mine-uae", seed=s, test_error=v) for s, v in enumerate([0.29, 0.31])]
    found = verdict(loaded, quantity="improvement", base={"method": "original"}, than=0.25, tolerance=0,
                    **{"is": "at least"})  # fmt: skip
    s = 0.02 / 2**0.5
    assert found.rows[0].spread == pytest.approx(0.75 * ((s / 0.3) ** 2 + (s / 0.4) ** 2) ** 0.5)


MODELS = ["sparse", "dense", "convolutional", "adversarial"]


@pytest.mark.parametrize(
    ("needed", "better", "worse", "expected"),
    [
        ("all", 4, 0, claims.AGREES),
        ("all", 3, 1, claims.PARTLY),
        ("all", 2, 0, claims.PARTLY),  # two rows not run
        ("all", 0, 1, claims.NOT_REPRODUCED),
        ("all", 0, 0, claims.NOT_RUN),
        ("most", 3, 1, claims.AGREES),
        ("most", 3, 0, claims.AGREES),
        ("most", 2, 1, claims.PARTLY),  # one row left to decide
        ("most", 2, 2, claims.NOT_REPRODUCED),
        ("most", 0, 1, claims.INCONCLUSIVE),  # three left
        ("most", 0, 2, claims.NOT_REPRODUCED),
        (1, 1, 3, claims.AGREES),
        (1, 0, 3, claims.INCONCLUSIVE),
        (1, 0, 4, claims.NOT_REPRODUCED),
        (2, 1, 3, claims.NOT_REPRODUCED),
    ],
)
def test_verdicts_from_rows(needed, better, worse, expected):
    loaded = []
    for i, model in enumerate(MODELS[: better + worse]):
        loaded.append(record("original", model=model, test_error=0.4))
        loaded.append(record("mine-uae", model=model, test_error=0.3 if i < better else 0.5))
    found = verdict(loaded, cells={"model": MODELS}, **{"holds in": needed})
    assert found.verdict == expected and len(found.rows) == 4 and found.holding == better


@pytest.mark.parametrize(
    ("needed", "clear", "expected"),
    [
        ("all", 4, claims.REPRODUCED),
        ("all", 3, claims.AGREES),
        ("most", 3, claims.REPRODUCED),
        ("most", 2, claims.AGREES),
        (1, 1, claims.REPRODUCED),
        (1, 0, claims.AGREES),
    ],
)
def test_a_claim_is_reproduced_by_rows_whose_resolution_is_known(needed, clear, expected):
    """All four rows hold. Where attacked images are counted, they show what can be seen."""
    loaded = []
    for i, model in enumerate(MODELS):
        images = {"n_attacked": 1000.0} if i < clear else {}
        loaded += [record("original", model=model, asr=0.9, **images)]
        loaded += [record("mine-uae", model=model, asr=0.3, **images)]
    found = verdict(loaded, cells={"model": MODELS, "metric": "asr"}, **{"holds in": needed})
    assert found.verdict == expected and found.holding == 4


@pytest.mark.parametrize("other", [0.2, 0.5])
def test_a_claim_that_another_one_contradicts_says_so(other):
    """It is the other's failure that is said, not its mere presence."""
    loaded = [record("original", test_error=0.4), record("mine-uae", test_error=0.3)]
    loaded += [record("l2-uae", test_error=other)]
    against = claim(id="d", cells={"method": "l2-uae"})
    first, second = claims.evaluate(loaded, [claim(unless={"d": "not with L2"}), against])
    assert second.verdict == (claims.AGREES if other < 0.4 else claims.NOT_REPRODUCED)
    assert first.caveats == ["spread unknown"] + ["not with L2"] * (other > 0.4)


def test_claims_contradict_claims_that_there_are():
    found = claims.read()
    assert {name for one in found for name in one.unless} <= {one.id for one in found}


def test_variants_of_the_data_are_not_mixed():
    loaded = [
        record("original", test_error=0.4),
        record("mine-uae", variant="mnist@10000", test_error=0.3),
    ]
    assert verdict(loaded).verdict == claims.NOT_RUN
    both = [*loaded, record("original", variant="mnist@10000", test_error=0.2)]
    assert [(r.variant, r.state) for r in verdict(both).rows] == [("mnist@10000", "fails")]


def test_curves_have_a_row_for_every_eps():
    loaded = [
        record("original", **{"asr@0.1": 0.3, "asr@0.2": 0.6, "asr@0.4": 1.0}),
        record("mine-uae", **{"asr@0.1": 0.2, "asr@0.2": 0.7, "asr@0.4": 1.0}),
    ]
    found = verdict(loaded, cells={"metric": "asr@*"}, **{"is": "at most"})
    assert [(r.label, r.state) for r in found.rows] == [
        ("mnist/dense asr@0.1", "holds"),
        ("mnist/dense asr@0.2", "fails"),
        ("mnist/dense asr@0.4", "holds"),
    ]
    assert found.verdict == claims.PARTLY
    one = [record("mine-uae", **{"asr@0.0627451": 0.2})]
    one = verdict(one, cells={"metric": "asr@16/255"}, than=0.2, **{"is": "at most"})
    assert one.verdict == claims.AGREES


@pytest.mark.parametrize(
    ("uae", "expected"),
    [
        ([0.2, 0.5, 0.999], claims.REPRODUCED),  # the rates at 0.4 are both 1
        ([0.3, 0.6, 1.0], claims.NOT_REPRODUCED),  # the same model
        ([0.2, 0.61, 1.0], claims.PARTLY),
    ],
)
def test_lower_at_every_eps_needs_a_difference(uae, expected):
    def curve(method, rates, seed):
        at = dict(zip(("asr@0.1", "asr@0.2", "asr@0.4"), rates, strict=True))
        return record(method, seed, **{eps: rate + 0.001 * seed for eps, rate in at.items()})

    loaded = [curve("original", [0.3, 0.6, 1.0], seed) for seed in range(3)]
    loaded += [curve("mine-uae", uae, seed) for seed in range(3)]
    found = verdict(loaded, cells={"metric": "asr@*"})
    assert [row.label[-7:] for row in found.rows] == ["asr@0.1", "asr@0.2"]
    assert found.verdict == expected


def test_a_claim_of_saturated_rates_alone_is_inconclusive():
    loaded = [record(method, **{"asr@0.4": 1.0}) for method in ("original", "mine-uae")]
    assert verdict(loaded, cells={"metric": "asr@*"}).verdict == claims.INCONCLUSIVE


def test_the_authors_settings_take_the_place_of_the_papers_words():
    loaded = [
        record("original", model="convolutional", test_error=0.4),
        record("mine-uae", model="convolutional", test_error=0.5),
        record("mine-uae-released", model="convolutional", test_error=0.3),
    ]
    cells = {"model": "convolutional"}
    assert verdict(loaded, cells=cells).verdict == claims.NOT_REPRODUCED
    released = verdict(loaded, "released", cells=cells)
    assert released.verdict == claims.AGREES
    assert (released.rows[0].paper, released.rows[0].paper_other) == (0.00256, 0.00294)
    against = {"cells": cells | {"method": "original"}, "than": {"method": "mine-uae"}}
    assert verdict(loaded, **against).verdict == claims.AGREES
    assert verdict(loaded, "released", **against).verdict == claims.NOT_REPRODUCED
    assert claims.evaluate(loaded, [claim(cells={"method": "ga-0.01"})], "released") == []


@pytest.mark.parametrize(
    ("method", "released"),
    [
        ("mine-uae", "mine-uae-released"),
        ("mine-uae-2", "mine-uae-released-2"),
        ("l2-uae-released", "l2-uae-released"),
        ("alpha-0.01-beta-0.5", "alpha-0.01-beta-0.5-released"),
        ("alpha-0.01-beta-0.05-released", "alpha-0.01-beta-0.05-released"),
        ("matched-2", "matched-2"),
    ],
)
def test_every_uae_set_has_its_name_in_the_authors_settings(method, released):
    assert claims._release(method) == released


def test_released_methods_of_claims_are_those_of_the_configuration():
    """Else a claim would wait for records that no run makes."""
    cfg = config.load({"scale": "paper"})
    for one in (claims._adapted(c, "released") for c in claims.read()):
        named = [one.cells.method] if isinstance(one.cells.method, str) else one.cells.method
        others = [
            side["method"] for side in (one.base, one.than) if isinstance(side, dict) and "method" in side
        ]
        known = {
            "reconstruction": {name for row in cfg.autoencoders for name in cfg.row_methods(row)},
            "contrastive": set(cfg.contrastive.methods),
            "robustness": {name for row in cfg.robust_rows for name in cfg.robust_model(row).methods},
        }.get(one.cells.experiment)
        if known is not None:
            assert {name for name in [*named, *others] if "-released" in name} <= known, one.id


def test_every_claim_follows_from_the_papers_own_cells():
    """Those that the paper prints no cell for say what it shows instead."""
    found, printed = claims.read(), claims.printed()
    assert len(found) >= 30
    for one in found:
        wanted = claims.NOT_RUN if one.paper or one.ours else claims.AGREES
        assert claims._decide(one, claims._rows(one, printed, printed, "paper")) == wanted, one.id


def test_how_verdicts_read():
    """The same words in the report and in `uae verify`; our own claims are not among the paper's."""
    row = claims.Row("mnist/dense", "mnist@500", "holds", 0.9, 0.8, 0.05, 3, 0.7, 0.6, 20, 1000, 0.02, True)
    missing = claims.Row("svhn/dense", "", claims.NOT_RUN, paper=0.5, paper_other=0.4)
    one = claim(**{"is": "at least"}, tolerance=0.1)
    assert verdicts.row_text(one, row) == (
        "✓ mnist/dense: 0.9 ≥ 0.8 (± 0.05, sees 0.02) (mnist@500, 3 runs, 20 and 1,000 images: few)"
    )
    failed = claim(**{"is": "at most"}, than=0.1, tolerance=0)
    assert "✗ mnist/dense: 0.599 > 0.1" in verdicts.row_text(
        failed, replace(row, state="fails", ours=0.599, ours_other=0.1)
    )
    assert verdicts.row_text(one, missing) == "– svhn/dense: not run"
    assert verdicts.paper_texts(one, [row, missing]) == ["0.7 ≥ 0.6", "0.5 ≥ 0.4"]
    told = one.model_copy(update={"paper": "a figure"})
    assert verdicts.paper_texts(told, [replace(row, paper=None)] * 2) == ["a figure"]
    assert "tolerance 0.1" in verdicts.where(one)
    found = [
        claims.Verdict(one, claims.REPRODUCED, [row]),
        claims.Verdict(one, claims.REPRODUCED, [replace(row, images=None, repeated=False)]),
        claims.Verdict(one, claims.NOT_RUN, [missing]),
        claims.Verdict(one.model_copy(update={"ours": True}), claims.REPRODUCED, [row]),
    ]
    assert verdicts.counts(found) == (
        "2 reproduced, 0 in agreement, 0 partly, 0 inconclusive, 0 not reproduced, 0 no perturbation, "
        "1 not run; of those reproduced or in agreement, 1 rests on fewer than 100 images; 1 rests on runs "
        "whose spread is unknown"
    )


def test_numbers_that_claims_quote_from_tables():
    by_id = {c.id: c for c in claims.read()}
    assert by_id["second-run-slight"].than == pytest.approx(1 - 0.00199 / 0.00235, abs=5e-4)
    assert by_id["hyperparameters"].tolerance == "30%" and 0.00330 / 0.00256 - 1 < 0.30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"is": "about"}, "'lower', 'higher'"),
        ({"than": "no_such"}, "no quantity of text.csv"),
        ({"than": {"modell": "x"}}, "differs in"),
        ({"quantity": "gain"}, "base is for"),
        ({"tolerance": "a lot"}, "neither a number"),
        ({"tolerance": 0.1}, "lower has no tolerance"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_claim_is_named(tmp_path, changes, message):
    entry = claim().model_dump(by_alias=True) | changes
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump([entry]))
    with pytest.raises(BadFile, match=f"(?s)claim 'c'.*{message}"):
        claims.read(path)


def test_a_claim_twice_is_named(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump([claim().model_dump(by_alias=True)] * 2))
    with pytest.raises(BadFile, match="more than one claim c"):
        claims.read(path)
