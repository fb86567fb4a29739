"""A comparison with UAEs that are their originals says so, in verdicts and tables."""

import pytest
import torch

from tests.unit.paper.test_claims import record as plain
from tests.unit.paper.test_claims import verdict
from uae.attacks import AttackResult
from uae.paper import claims, parts, perturbation, tables
from uae.stages.evaluate.autoencoders import describe

GREY = 1 / 255


def record(method, **metrics):
    """Of a model that was trained with UAEs."""
    return plain(method, **metrics).model_copy(update={"settings": {"attack": {"on_failure": "original"}}})


@pytest.mark.parametrize(
    ("shifts", "expected"),
    [
        ([0.0, 0.0, 0.02], 0.02),
        ([0.0, 0.02, 0.04], 0.03),
        ([0.5, 0.004, 0.001], 0.004),
        ([0.0, 0.0, 0.0], 0.0),
    ],
)
def test_the_median_change_is_that_of_the_successes(shifts, expected):
    """Each success is shifted by one amount: its root-mean-square change is that amount."""
    x = torch.zeros(3, 1, 5, 5)
    adv = x + torch.tensor(shifts)[:, None, None, None]
    one, ok = torch.ones(3), torch.tensor(shifts) > 0
    result = AttackResult(
        adv=adv, success=ok, mi=one, loss=one, loss_clean=one, index=torch.arange(3), step=one.int()
    )
    assert describe(result, x)["success_change"] == pytest.approx(expected)


def test_a_row_states_the_change_of_its_own_uaes():
    """Not that of another method of the model, and for a robust model that of the UAEs' row."""
    loaded = [plain("original", test_error=0.5), record("l2-uae", test_error=0.4, success_change=0.1 * GREY)]
    loaded += [record("mine-uae", test_error=0.4, success_change=0.5 * GREY)]
    for method, change in (("l2-uae", 0.1 * GREY), ("mine-uae", 0.5 * GREY)):
        assert verdict(loaded, cells={"method": method}).rows[0].change == pytest.approx(change)
    where = {"experiment": "robustness", "model": "classifier"}
    robust = [plain(name, **{"asr@0.1": 0.5}, n_attacked=200, **where) for name in ("original", "mine-uae")]
    source = plain("mine-uae", success_change=0.3 * GREY, model="convolutional")
    (row,) = verdict([*robust, source], cells={**where, "metric": "asr@0.1"}).rows
    assert row.state == claims.NO_PERTURBATION and row.change == pytest.approx(0.3 * GREY)


@pytest.mark.parametrize(
    ("metrics", "flat"),
    [
        ({"success_change": 0.9 * GREY}, True),
        ({"success_change": 1.1 * GREY}, False),
        # As the paper's row of COIL-20: few UAEs, which differ from their originals
        ({"success_change": 1.1 * GREY, "median_change": 0.0, "asr": 0.09}, False),
        # Before it was measured: the mean perturbation of 784 pixels
        ({"asr": 0.4, "l2_mean": 3.0}, False),
        ({"asr": 0.9, "l2_mean": 0.9 * 28 * GREY}, True),
        ({"asr": 0.9, "l2_mean": 1.1 * 28 * GREY}, False),
        ({"asr": 0.0}, True),
    ],
)
def test_verdicts_and_tables_say_no_perturbation(metrics, flat):
    loaded = [
        plain("original", test_error=0.5),
        plain("matched", test_error=0.45),
        record("mine-uae", test_error=0.4, **metrics),
    ]
    found = verdict(loaded)
    assert found.verdict == (claims.NO_PERTURBATION if flat else claims.AGREES)
    assert {row.state for row in found.rows} == {claims.NO_PERTURBATION if flat else "holds"}
    rows = parts.body("table4", tables.tidy("table4", loaded))[0]["rows"]
    cell = next(c for c in rows[0]["cells"] if c and c["key"][-1] == "mine-uae")
    assert cell["change"] == (perturbation.NO_PERTURBATION if flat else "↑ 20.0%")
    assert cell["ours"] == "0.40000" and cell["best"] is not flat
    assert (perturbation.NO_PERTURBATION.capitalize() in tables.caption("table4", loaded)) is flat
    paired = parts.body("seeds", tables.tidy("seeds", loaded))[0]["rows"][0]["cells"]
    cell = next(c for c in paired if c)
    assert cell["ours"] == (perturbation.NO_PERTURBATION if flat else "−0.05000")


def test_what_the_attack_says_of_itself_is_judged_all_the_same():
    loaded = [record("mine-uae", asr=0.99, success_change=0.0), plain("original", asr=0.5)]
    found = verdict(loaded, cells={"metric": "asr"}, **{"is": "higher"})
    assert found.verdict == claims.AGREES and "UAEs almost their originals" in found.caveats
    other = verdict([record("mine-uae", asr=0.99, success_change=0.1), loaded[1]],
                    cells={"metric": "asr"}, **{"is": "higher"})  # fmt: skip
    assert other.caveats == ["spread unknown"]


def test_some_rows_without_a_perturbation_leave_the_verdict_to_the_others():
    loaded = [
        plain("original", test_error=0.5),
        plain("original", dataset="svhn", test_error=0.5),
        record("mine-uae", test_error=0.4, success_change=0.0),
        record("mine-uae", test_error=0.4, success_change=0.1).model_copy(
            update={"dataset": "svhn", "variant": "svhn"}
        ),
    ]
    found = verdict(loaded, cells={"dataset": ["mnist", "svhn"]})
    assert [row.state for row in found.rows] == [claims.NO_PERTURBATION, "holds"]
    assert found.verdict == claims.PARTLY


@pytest.mark.parametrize("variant", ["mnist", "mnist@10000"])
@pytest.mark.parametrize(
    ("own", "source", "flat"),
    [
        (0.0, 0.5, True),
        (0.5, 0.0, False),  # what the record says counts
        (None, 0.0, True),  # an older record: the UAEs of its row
        (None, 0.5, False),
        (None, None, False),
    ],
)
def test_robust_models_trained_with_originals_are_named(own, source, flat, variant):
    """Figures 9 and 10 (a): a model that saw its originals twice shows nothing about UAEs.

    A full-size record of the UAEs' row replaces the one of the robust model's data.
    """
    kept = {"experiment": "robustness", "model": "classifier"}
    robust = plain("mine-uae", accuracy=0.9, **({} if own is None else {"success_change": own}))
    records = [robust.model_copy(update=kept), plain("matched", accuracy=0.9).model_copy(update=kept)]
    if source is not None:
        records.append(
            record("mine-uae", test_error=0.4, success_change=source).model_copy(
                update={"model": perturbation.SOURCE, "variant": variant}
            )
        )
    found = {key for key in perturbation.unperturbed(records) if key[0] == "robustness"}
    assert {key[-1] for key in found} == ({"mine-uae"} if flat else set())
