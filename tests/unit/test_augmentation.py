"""Augmented training sets."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

import uae
from uae import augmentation
from uae.methods import Method
from uae.stages import train


def test_gaussian_augmentation():
    x = torch.zeros(2000, 1, 4, 4)
    first, second = (
        augmentation.gaussian(x, 0.01, seed=0, draw=0),
        augmentation.gaussian(x, 0.01, seed=0, draw=1),
    )
    assert abs(first.mean()) < 3e-4  # not clipped: zero-mean
    assert first.std().item() == pytest.approx(0.01, rel=0.02)
    assert abs(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1]) < 0.03
    torch.testing.assert_close(augmentation.gaussian(x[:5], 0.01, 0), first[:5])
    both = augmentation.augmented(x, first)
    assert torch.equal(both[:2000], x) and torch.equal(both[2000:], first)
    with pytest.raises(ValueError, match=r"\(3, 1, 4, 4\)"):
        augmentation.augmented(x, first[:3])
    with pytest.raises(ValueError, match=r"seed must be an integer, got 0\.5"):
        augmentation.gaussian(x, 0.01, seed=0.5)


def result_of(x: torch.Tensor, success: torch.Tensor) -> uae.AttackResult:
    """An attack that changed every sample, as `on_failure="best"` does, and succeeded on some."""
    value, rows = torch.zeros(len(x)), torch.arange(len(x))
    return uae.AttackResult(x + 10, success, value, value, value, rows, rows)


@given(success=st.lists(st.booleans(), min_size=1, max_size=12), replicate=st.booleans())
def test_an_augmented_set_has_its_successes_in_order_and_a_control_of_as_many_samples(success, replicate):
    success = torch.tensor(success)
    n = len(success)
    x = torch.arange(3.0 * n).view(n, 3)  # no two samples are alike
    calls = []

    def attack(loss, images, **options):
        calls.append((loss, options))
        return result_of(images, success)

    made = uae.augment(abs, x, attack, replicate=replicate, seed=3)
    assert calls == [(abs, {"seed": 3})]
    added = list(range(n)) if replicate else [row for row in range(n) if success[row]]
    assert made.source.tolist() == [*range(n), *added]
    assert made.is_uae.tolist() == [False] * n + [bool(success[row]) for row in added]
    # Each sample is its source, plus 10 where it is an example: nothing else of the failures is there.
    torch.testing.assert_close(made.x, x[made.source] + 10 * made.is_uae[:, None])
    assert len(made.control) == len(made.x) and torch.equal(made.control[:n], x)
    for row, source in enumerate(made.source):
        assert torch.equal(made.control[row], x[source])
    labels = torch.arange(n) % 2
    assert torch.equal(labels[made.source][n:], labels[added])


def test_where_all_attacks_succeed_the_control_is_the_workflow_s():
    """`matched` retrains on the originals twice over; with replicas its set is the paper's, of 2N samples."""
    x = torch.rand(6, 4)
    matched, _ = train.augmented(x, Method("matched"), [], seed=0, draw=None)
    made = augmentation.of_attack(x, result_of(x, torch.ones(6, dtype=bool)))
    assert torch.equal(made.control, matched)
    mixed = result_of(x, torch.tensor([True, False] * 3))
    replicated = augmentation.of_attack(x, mixed, replicate=True)
    assert torch.equal(replicated.control, matched)
    mixed.adv = torch.where(mixed.success[:, None], mixed.adv, x)  # of a failure the original (section 5.1)
    uaes, _ = train.augmented(x, Method("mine-uae"), [mixed.adv], seed=0, draw=None)
    assert torch.equal(replicated.x, uaes)


def test_augment_attacks_the_reconstruction_of_a_model_by_default(tmp_path):
    torch.manual_seed(0)
    model, x = torch.nn.Linear(4, 4).eval(), torch.rand(8, 4)
    attack = uae.MinMaxAttack(steps=3, mi=None)
    made = uae.augment(model, x, attack, seed=5)
    expected = attack(uae.losses.Reconstruction(model), x, seed=5)
    assert torch.equal(made.result.adv, expected.adv)
    assert torch.equal(made.x[8:], expected.adv[expected.success])
    made.save(tmp_path / "a.safetensors", y=made.source % 3)
    saved = load_file(tmp_path / "a.safetensors")
    assert saved.keys() == {"x", "control", "source", "is_uae", "y"}
    assert torch.equal(saved["control"], x[saved["source"]]) and torch.equal(saved["x"], made.x)


def test_a_set_of_originals_that_want_a_gradient_has_no_graph():
    torch.manual_seed(0)
    x = torch.rand(8, 4)
    attack = uae.MinMaxAttack(steps=3, mi=None)
    model = torch.nn.Linear(4, 4).eval()
    found = uae.augment(model, x.clone().requires_grad_(), attack)
    assert not any(tensor.requires_grad for tensor in (found.x, found.control, found.result.adv))
    assert torch.equal(found.x, uae.augment(model, x, attack).x)


def test_a_set_for_other_samples_is_refused():
    x = torch.rand(4, 3)
    with pytest.raises(ValueError, match=r"\(4, 3\), the originals \(2, 3\)"):
        augmentation.of_attack(x[:2], result_of(x, torch.ones(4, dtype=bool)))
    with pytest.raises(ValueError, match=r"sample 1: a value of 7"):
        x[1, 2] = 7
        uae.augment(torch.nn.Linear(3, 3).eval(), x, uae.MinMaxAttack(steps=1, mi=None))


def test_a_set_and_its_attack_say_in_a_line_what_they_are():
    """A notebook shows them without their tensors."""
    x = torch.rand(4, 1, 2, 2)
    made = augmentation.of_attack(x, result_of(x, torch.ones(4) > 0))
    assert repr(made.result) == "AttackResult(4 samples of shape (1, 2, 2), success rate 1)"
    assert repr(made) == f"Augmented(8 samples, 4 of them examples of {made.result!r})"
    assert len({made.result, made}) == 2  # by identity
