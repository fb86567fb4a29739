"""Random projections against the matrices themselves."""

from __future__ import annotations

import pytest
import torch

import uae
from uae import projections, seeding
from uae.projections import Projections

STD = 0.3


def matrices(count, dim, size, redraw, step, dtype):
    """All of a step's, (count, dim, size), by the generators alone."""
    if redraw:
        drawn = seeding.gaussian(5, torch.arange(count), f"random-sampling/{step}", dim * size).to(dtype)
    else:
        generator = torch.Generator().manual_seed(seeding.derive(5, "random-sampling/0"))
        drawn = torch.randn(count, dim, size, generator=generator, dtype=dtype)
    return STD * drawn.view(count, dim, size)


@pytest.mark.parametrize("redraw", [False, True])
@pytest.mark.parametrize("numba", [False, True])
@pytest.mark.parametrize(("count", "dim"), [(7, 13), (3, 600), (300, 1)])
def test_are_products_with_the_matrices(monkeypatch, count, dim, redraw, numba):
    """There and back, for parts of one matrix and of many, drawn by either path."""
    monkeypatch.setattr(projections, "TOGETHER", 2000)
    if not numba:
        monkeypatch.setattr(projections, "find_spec", lambda name: None)
    x, other = torch.rand(2, 4, 1, 5, 6, dtype=torch.float64)
    made = Projections(count, dim, STD, redraw, 5, x)
    grad = torch.rand(4, count, dim, dtype=torch.float64)
    for step in (0, 1):
        all_of_them = matrices(count, dim, 30, redraw, step, torch.float64)
        for found, given in zip(made.project(step, x, other), (x, other), strict=True):
            torch.testing.assert_close(found, torch.einsum("kdp,np->nkd", all_of_them, given.flatten(1)))
        torch.testing.assert_close(made.pull(step, grad), torch.einsum("kdp,nkd->np", all_of_them, grad))


needs_onednn = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this PyTorch is built without oneDNN"
)


@needs_onednn
@pytest.mark.parametrize("redraw", [False, True])
@pytest.mark.parametrize(("count", "dim"), [(7, 13), (3, 600), (300, 1)])
def test_by_onednn_are_the_same_products(monkeypatch, count, dim, redraw):
    """In float32, against float64."""
    monkeypatch.setattr(projections, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(projections, "TOGETHER", 2000)
    x, other = torch.rand(2, 4, 1, 5, 6)
    made = Projections(count, dim, STD, redraw, 5, x)
    grad = torch.rand(4, count, dim)
    all_of_them = matrices(count, dim, 30, redraw, 1, torch.float32).double()
    calls, product = [], projections.linear
    monkeypatch.setattr(projections, "linear", lambda *both: calls.append(both) or product(*both))
    for found, given in zip(made.project(1, x, other), (x, other), strict=True):
        wanted = torch.einsum("kdp,np->nkd", all_of_them, given.flatten(1).double())
        torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-6 * wanted.abs().max().item())
    wanted = torch.einsum("kdp,nkd->np", all_of_them, grad.double())
    found = made.pull(1, grad).double()
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6 * wanted.abs().max().item())
    assert len(calls) >= 3 and not len(calls) % 3  # two batches there, one back
    assert not Projections(count, dim, STD, redraw, 5, x.double()).by_onednn
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert not Projections(count, dim, STD, redraw, 5, x).by_onednn


@pytest.mark.parametrize(
    ("capability", "vendor", "faster"),
    [
        ("AVX512", "AuthenticAMD", True),
        ("AVX512", "GenuineIntel", False),
        ("AVX2", "AuthenticAMD", False),
        ("AVX512", None, False),  # no /proc/cpuinfo
    ],
)
@needs_onednn
@pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="this PyTorch is built without MKL")
def test_onednn_is_for_amds_cpus_with_avx512(monkeypatch, tmp_path, capability, vendor, faster):
    cpus = tmp_path / "cpuinfo"
    if vendor:
        cpus.write_text(f"processor : 0\nvendor_id : {vendor}\n")
    monkeypatch.setattr(projections, "Path", lambda _: cpus)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert projections.onednn_is_faster.__wrapped__() == faster


@pytest.mark.parametrize("onednn", [False, pytest.param(True, marks=needs_onednn)])
def test_have_the_same_bits_whatever_the_threads(monkeypatch, onednn):
    monkeypatch.setattr(projections, "onednn_is_faster", lambda: onednn)
    x = torch.rand(6, 784)
    grad = torch.rand(6, 9, 20)
    made = Projections(9, 20, STD, True, 5, x)
    before, found = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append((*made.project(2, x), made.pull(2, grad)))
    torch.set_num_threads(before)
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("redraw", [False, True])
def test_are_differentiable_by_the_first_samples_alone(redraw):
    sampling = uae.RandomSampling(count=4, dim=6, redraw=redraw)
    x = torch.rand(3, 1, 2, 5, dtype=torch.float64)
    features = sampling.bind(None, x, 5)
    assert torch.autograd.gradcheck(lambda x: features.compute(x, 1), x.clone().requires_grad_())
    assert (features.redrawn is not None) == redraw
    if redraw:
        of_adv, of_x = features.redrawn(x.clone().requires_grad_(), 2 * x, 1)
        assert of_adv.requires_grad and not of_x.requires_grad
        torch.testing.assert_close(of_x, 2 * of_adv.detach())
        assert not torch.equal(features.compute(x, 2), of_adv)


def test_that_are_redrawn_take_no_memory_to_speak_of(monkeypatch):
    """38.5 GB of matrices, a few at a time."""
    x = torch.rand(1, 3, 224, 224)
    uae.RandomSampling(redraw=True).bind(None, x, 0)
    monkeypatch.setattr(Projections, "_draw", lambda self, step, first, count: pytest.fail(str(count)))
    with pytest.raises(pytest.fail.Exception, match=r"^1$"):
        Projections(500, 128, STD, True, 0, x).project(0, x)
