"""The result of an attack: what it promises, its means, and its file."""

import pytest
import scipy.stats
import torch

import uae
from tests.unit.attacks.conftest import ATTACK, images
from uae import losses
from uae.errors import BadFile


def test_what_a_result_promises(model):
    """Inside both balls; a success has f <= 0; a failure is the original."""
    x = images(12)
    loss = losses.Reconstruction(model)
    attack = uae.MinMaxAttack(eps=0.02, steps=6, alpha=5.0, mi=uae.MINE(inner_steps=1, lr=1e-2))
    result = attack(loss, x, seed=1)
    assert (result.adv >= 0).all() and (result.adv <= 1).all()
    assert (result.adv - x).abs().max() <= 0.02 + 1e-6
    ok = result.success
    assert 0 < ok.sum() < 12  # both kinds
    assert (loss(result.adv, x)[ok] <= loss(x, x)[ok] + 1e-6).all()
    assert torch.equal(result.adv[~ok], x[~ok])
    assert result.mi[~ok].isnan().all() and result.mi[ok].isfinite().all()
    torch.testing.assert_close(result.loss, loss(result.adv, x).detach())
    assert result.success_rate == pytest.approx(ok.float().mean().item())


def test_a_saved_result_comes_back(model, tmp_path):
    result = ATTACK(losses.Reconstruction(model), images())
    result.save(tmp_path / "u.safetensors")
    found = uae.AttackResult.load(tmp_path / "u.safetensors")
    for name in result.TENSORS:
        torch.testing.assert_close(getattr(found, name), getattr(result, name), equal_nan=True)
    assert found.metadata["attack"]["steps"] == 2
    (tmp_path / "u.safetensors").write_bytes(b"x" * 50)
    with pytest.raises(BadFile, match=r"u\.safetensors"):
        uae.AttackResult.load(tmp_path / "u.safetensors")


def test_means_over_the_successes_have_their_standard_errors():
    x, index = torch.rand(5, 3), torch.arange(5)
    success, mi = torch.tensor([True, False, True, True, False]), torch.tensor([1.0, 9.0, 2.0, 4.0, 9.0])
    result = uae.AttackResult(x + mi[:, None], success, mi, mi, mi, index, index)
    found, norms = result.means(x), [3**0.5, 2 * 3**0.5, 4 * 3**0.5]
    assert found["mi_mean"] == pytest.approx(7 / 3)
    assert found["mi_mean_error"] == pytest.approx(scipy.stats.sem([1, 2, 4]))
    assert found["l2_mean_error"] == pytest.approx(scipy.stats.sem(norms), rel=1e-5)
    alone = uae.AttackResult(x, index == 1, mi, mi, mi, index, index).means(x)
    assert "l2_mean_error" not in alone and alone["mi_mean"] == 9
