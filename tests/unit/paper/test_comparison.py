"""What the runs behind a claim could have seen: spreads and resolutions."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest

from tests.unit.paper.test_claims import record, verdict
from uae.paper import claims, parts, tables


@pytest.mark.parametrize(
    ("uae", "original", "expected"),
    [
        ([0.30, 0.32], [0.40, 0.42], claims.REPRODUCED),  # 0.1 apart, spread 0.02
        ([0.40, 0.42], [0.30, 0.32], claims.NOT_REPRODUCED),
        ([0.30, 0.36], [0.34, 0.38], claims.INCONCLUSIVE),  # 0.03 apart, spread 0.05
        ([0.36, 0.40], [0.30, 0.38], claims.INCONCLUSIVE),
        ([0.30, 0.36], [0.32], claims.INCONCLUSIVE),  # one run of the other
        ([0.30], [0.31], claims.AGREES),  # single runs have no spread
        ([0.300011], [0.300012], claims.INCONCLUSIVE),  # both are shown as 0.3
        ([0.30], [0.30], claims.NOT_REPRODUCED),
    ],
)
def test_a_difference_within_the_seeds_spread_is_inconclusive(uae, original, expected):
    loaded = [record("mine-uae", seed=i, test_error=v) for i, v in enumerate(uae)]
    loaded += [record("original", seed=i, test_error=v) for i, v in enumerate(original)]
    found = verdict(loaded)
    assert found.verdict == expected
    assert found.rows[0].runs == min(len(uae), len(original))


def test_a_spread_of_the_records_own_counts_too():
    """KID's, over its subsets: a single run then has one."""
    given = [record("mine-uae", kid=0.02, kid_std=0.03), record("original", kid=0.06, kid_std=0.04)]
    found = verdict(given, cells={"metric": "kid"})
    assert found.rows[0].spread == pytest.approx(0.05) and found.verdict == claims.INCONCLUSIVE
    assert found.rows[0].resolution == pytest.approx(1.96 * 0.05)
    runs = enumerate([0.17, 0.23, 0.17, 0.23])
    given = [record("mine-uae", seed, kid=kid, kid_std=0.04) for seed, kid in runs]
    given += [record("original", seed, kid=0.5, kid_std=0.0) for seed in range(4)]
    found = verdict(given, cells={"metric": "kid"})
    assert found.rows[0].spread == pytest.approx((4 * 0.03**2 / 3 + 0.04**2) ** 0.5)
    assert found.verdict == claims.REPRODUCED and found.caveats == []


def test_a_deviation_over_pairs_is_not_that_of_their_mean():
    given = [record("mine-uae", mi_estimate=0.2, mi_estimate_std=5.0), record("original", mi_estimate=0.6)]
    found = verdict(given, cells={"metric": "mi_estimate"})
    assert found.verdict == claims.AGREES and found.rows[0].spread is None


T = {1: 12.706, 2: 4.3027, 3: 3.1824}  # Student's t at 97.5 %, from a printed table


@pytest.mark.parametrize(
    ("uae", "original", "expected", "resolution"),
    [
        # The seeds move both alike: the pairs see what the single spreads would hide
        ([0.30, 0.40, 0.50], [0.31, 0.411, 0.512], claims.REPRODUCED, T[2] * 0.001 / 3**0.5),
        ([0.30, 0.40, 0.50], [0.302, 0.40, 0.504], claims.INCONCLUSIVE, T[2] * 0.002 / 3**0.5),
        # Two seeds see little: their interval is 12.7 standard errors wide
        ([0.30, 0.32], [0.40, 0.44], claims.INCONCLUSIVE, T[1] * 0.02 / 2),
        ([0.30, 0.32, 0.30, 0.32], [0.40, 0.44, 0.40, 0.44], claims.REPRODUCED, T[3] * 0.02 / 3**0.5 / 2),
        # A single seed on both sides: from the spread of one side's other runs, on each of the two
        ([0.30, 0.31], [0.55], claims.REPRODUCED, T[1] * 0.005 * 2),
        ([0.30, 0.31], [0.40], claims.INCONCLUSIVE, T[1] * 0.005 * 2),
        ([0.30], [0.40], claims.AGREES, None),
    ],
)
def test_the_smallest_difference_that_the_runs_could_have_seen(uae, original, expected, resolution):
    loaded = [record("mine-uae", seed=i, test_error=v) for i, v in enumerate(uae)]
    loaded += [record("original", seed=i, test_error=v) for i, v in enumerate(original)]
    found = verdict(loaded)
    assert found.rows[0].resolution == (resolution and pytest.approx(resolution, rel=1e-3))
    assert found.verdict == expected
    assert found.caveats == (["spread unknown"] if resolution is None else [])


def test_a_single_seed_borrows_the_spread_of_other_methods():
    loaded = [record("mine-uae", test_error=0.30), record("original", test_error=0.33)]
    loaded += [record("matched", seed=i, test_error=v) for i, v in enumerate([0.2, 0.3, 0.25])]
    row = verdict(loaded).rows[0]
    assert row.state == "inconclusive" and row.spread is None
    assert row.resolution == pytest.approx(T[2] * 0.05 * 2**0.5, rel=1e-3)
    away = [r if r.method != "matched" else r.model_copy(update={"variant": "mnist@10"}) for r in loaded]
    assert verdict(away).rows[0].resolution is None  # not of other data


def test_draws_of_noise_are_runs_of_a_retraining_and_not_of_an_attack():
    """Gaussian draws of a seed retrain different models, but their success rates are those of one model."""
    draws = [0.30, 0.31, 0.32]
    loaded = [
        record("ga-0.01", test_error=v, asr=v).model_copy(update={"draw": i}) for i, v in enumerate(draws)
    ]
    loaded += [record("mine-uae", test_error=0.2, asr=0.9), record("original", test_error=0.4, asr=0.1)]
    assert verdict(loaded).rows[0].resolution == pytest.approx(T[2] * 0.01 * 2**0.5, rel=1e-3)
    rate = {"cells": {"metric": "asr"}, "is": "higher"}
    assert verdict(loaded, **rate).caveats == ["spread unknown"]
    loaded.append(record("ga-0.01", seed=1, asr=0.33))
    assert verdict(loaded, **rate).rows[0].resolution == pytest.approx(T[1] * 0.02, rel=1e-3)


def test_a_mean_over_images_is_as_uncertain_as_its_standard_error():
    given = [record("penalty", mi_minmax_more=0.05, mi_minmax_more_error=0.1)]
    cells = {"method": "penalty", "metric": "mi_minmax_more"}
    found = verdict(given, cells=cells, than=0, **{"is": "higher"})
    assert found.verdict == claims.INCONCLUSIVE
    assert found.rows[0].resolution == pytest.approx(1.96 * 0.1)


def test_the_error_of_a_mean_at_an_eps_is_that_of_this_eps():
    given = [
        record("minmax", **{"l2_mean@1": 2.0, "l2_mean_error@1": 0.3, "l2_mean_error@0.3": 9.0}),
        record("pgd", **{"l2_mean@1": 16.0, "l2_mean_error@1": 0.4, "l2_mean@0.3": 5.0}),
    ]
    found = verdict(given, cells={"method": "minmax", "metric": "l2_mean@1"}, than={"method": "pgd"})
    assert found.rows[0].resolution == pytest.approx(1.96 * 0.5)
    assert found.verdict == claims.REPRODUCED and found.caveats == ["spread unknown"]


def test_two_rates_of_one_seed_are_as_uncertain_as_their_images():
    """Of 100 images 50 and 60: Wilson's intervals are 0.192 and 0.188 wide. Three seeds show their own."""
    given = [record("mine-uae", asr=0.5, n_attacked=100.0), record("original", asr=0.6, n_attacked=100.0)]
    row = verdict(given, cells={"metric": "asr"}).rows[0]
    assert row.resolution == pytest.approx(math.hypot(0.192, 0.188) / 2, abs=1e-3)
    assert row.state == "inconclusive" and not row.repeated
    far = [given[0], given[1].model_copy(update={"metrics": given[1].metrics | {"asr": 0.9}})]
    assert verdict(far, cells={"metric": "asr"}).caveats == ["spread unknown"]  # of trainings
    # Three seeds that agree have their 300 images: 0.113 and 0.111 wide.
    more = [r.model_copy(update={"seed": seed}) for r in given for seed in (0, 1, 2)]
    row = verdict(more, cells={"metric": "asr"}).rows[0]
    assert row.resolution == pytest.approx(math.hypot(0.1124, 0.1102) / 2, abs=1e-3)
    assert row.state == "holds" and row.repeated


def test_three_seeds_that_agree_by_chance_see_no_more_than_their_images():
    """26 successes of 600 against 31, with nearly equal differences by seed: t alone would see 0.0072."""
    rates = {"mine-uae": (11, 7, 8), "original": (13, 9, 9)}
    given = [
        record(method, seed, asr=hits / 200, n_attacked=200.0)
        for method, counts in rates.items()
        for seed, hits in enumerate(counts)
    ]
    row = verdict(given, cells={"metric": "asr"}).rows[0]
    intervals = [binomtest(sum(hits), 600).proportion_ci(method="wilson") for hits in rates.values()]
    widths = [interval.high - interval.low for interval in intervals]
    assert row.resolution == pytest.approx(math.hypot(*widths) / 2)
    assert row.state == "inconclusive"


def test_seeds_that_share_their_test_set_do_not_add_samples():
    """Three classifiers of one test set of 200 samples, as nearly alike: 200 samples, not 600."""
    rates = {"mine-uae": (11, 7, 8), "original": (13, 9, 9)}
    given = [
        record(method, seed, accuracy=hits / 200, n_test=200.0, n_attacked=50.0)
        for method, counts in rates.items()
        for seed, hits in enumerate(counts)
    ]
    row = verdict(given, cells={"metric": "accuracy"}).rows[0]
    # Means of 8.67 and 10.33 of 200
    intervals = [binomtest(hits, 200).proportion_ci(method="wilson") for hits in (9, 10)]
    widths = [interval.high - interval.low for interval in intervals]
    assert row.resolution == pytest.approx(math.hypot(*widths) / 2)


def test_an_accuracy_is_as_uncertain_as_its_test_samples_are_few():
    """21 of 1,559 more are a point and a half, and less than the sampling of the test set."""
    given = [
        record("mine-uae", accuracy=0.9031, n_test=1559.0),
        record("original", accuracy=0.8897, n_test=1559.0),
    ]
    gain = {"quantity": "gain", "base": {"method": "original"}, "than": 0.0, "is": "higher"}
    found = verdict(given, cells={"metric": "accuracy"}, **gain)
    assert found.rows[0].resolution == pytest.approx(math.hypot(0.0294, 0.0311) / 2, abs=2e-4)
    assert found.verdict == claims.INCONCLUSIVE


@pytest.mark.parametrize(("images", "expected"), [(1000, claims.REPRODUCED), (5, claims.INCONCLUSIVE)])
def test_a_rate_is_as_uncertain_as_its_images_are_few(images, expected):
    """All of five images are between 57 and 100 % (Wilson)."""
    given = [record("mine-uae", asr=1.0, n_attacked=float(images))]
    found = verdict(given, cells={"metric": "asr"}, than=1.0, tolerance=0.01, **{"is": "at least"})
    assert found.verdict == expected and found.rows[0].few == (images < 100)


def test_the_table_of_seeds_states_what_a_single_seed_could_have_seen():
    """As the verdict of the same numbers: from the three seeds of the control."""
    loaded = [record("matched", seed, test_error=value) for seed, value in enumerate([0.30, 0.32, 0.37])]
    loaded.append(record("mine-uae-released", 0, test_error=0.25))
    (row,) = parts.body("seeds", tables.tidy("seeds", loaded))[0]["rows"]
    (cell,) = (cell for cell in row["cells"] if cell)
    std = ((0.03**2 + 0.01**2 + 0.04**2) / 2) ** 0.5
    assert cell["numbers"]["sees"] == pytest.approx(T[2] * std * 2**0.5, rel=1e-4)
    assert cell["spread"].startswith("(sees 0.219") and cell["paired"] == ""
    (verdict_row,) = verdict(loaded, cells={"method": "mine-uae-released"}, than={"method": "matched"}).rows
    assert verdict_row.resolution == pytest.approx(cell["numbers"]["sees"])
