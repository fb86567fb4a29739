"""The GPU's kernels: run by Triton's interpreter where there is no GPU, and compiled for an H100.

They are compared with the portable path, which the parity tests compare with the naive reference,
and one attack with that reference itself.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

import uae
from tests import naive
from uae import losses, models, seeding
from uae.mine import engines
from uae.mine.critics import Critics, build_layers
from uae.mine.engines import numba, portable

triton = pytest.importorskip("uae.mine.engines.triton", reason="no Triton for this platform")
GPU = torch.cuda.is_available()  # if not, tests/conftest.py chose the interpreter
# Compiled kernels are for float32, in which Adam turns the rounding error of a vanishing gradient
# into a whole step of size lr.
LIKE = {"device": "cuda", "dtype": torch.float32} if GPU else {"dtype": torch.float64}
TOLERANCE = 1e-2 if GPU else 1e-9


def critics(kind, dim, hidden, map_shape=None, count=3):
    index = torch.arange(count, device=LIKE.get("device"))
    return Critics(build_layers(kind, dim, map_shape, hidden), hidden, 1e-3, 5, index, LIKE["dtype"])


def samples(count, dim):
    generator = torch.Generator().manual_seed(count + dim)
    return torch.rand(2, 3, count, dim, generator=generator).to(**LIKE)


def permutations(purpose, steps, count):
    return seeding.permutations(0, torch.arange(3, device=LIKE.get("device")), purpose, steps, count)


def everything(state: Critics) -> list[torch.Tensor]:
    groups = [*state.params, *state.first, *state.second]
    return [t for group in groups for t in group] + [state.out, state.out_first, state.out_second]


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("count", "dim", "hidden"), [(16, 32, 10), (7, 37, 3), (20, 130, 17)])
def test_the_vanilla_critic_trains_as_on_the_portable_path(count, dim, hidden):
    """Sizes that fill their tiles and sizes that don't; the state carries over to a second call."""
    x, z = samples(count, dim)
    ours, theirs = critics("vanilla", dim, hidden), critics("vanilla", dim, hidden)
    trained, reference = triton.Engine(ours), portable.Engine(theirs)
    for call in range(2):
        perms = permutations(str(call), 4, count)
        close(trained.train(x, z, perms), reference.train(x, z, perms))
    close(everything(ours), everything(theirs))
    assert ours.steps == theirs.steps


@pytest.mark.parametrize(("map_shape", "hidden"), [(None, 10), ((4, 5), 10), (None, 17)])
def test_the_released_critic_trains_as_on_the_portable_path(map_shape, hidden):
    x, z = samples(6, 20)[:, :1]
    ours, theirs = (critics("released", 20, hidden, map_shape, 1) for _ in range(2))
    perms = permutations("", 3, 6)[:1]
    close(triton.Engine(ours).train(x, z, perms), portable.Engine(theirs).train(x, z, perms))
    close(everything(ours), everything(theirs))


def test_an_attack_agrees_with_the_naive_reference(monkeypatch):
    """By the attack's own route to the kernel; without a GPU it takes the place of the CPU's."""
    monkeypatch.setattr(numba, "Engine", triton.Engine)
    torch.manual_seed(0)
    model = models.build("convolutional", (1, 4, 4), widths=(6, 4)).to(**LIKE).eval()
    images = torch.rand(2, 1, 4, 4).to(**LIKE)
    settings = {"steps": 3, "alpha": 0.3, "beta": 2.0}
    mine = uae.MINE(inner_steps=2, lr=2e-3)
    result = uae.MinMaxAttack(mi=mine, **settings)(losses.Reconstruction(model), images, seed=3)
    model.cpu()  # the reference is a CPU's
    for i, x in enumerate(images.cpu()):
        delta, mi, success = naive.minmax(
            model,
            naive.convolution_output(model),
            x[None],
            kind="vanilla",
            inner_steps=2,
            lr=2e-3,
            seed=3,
            index=i,
            **settings,
        )
        assert success is bool(result.success[i])
        close(result.adv[i].cpu(), (x + delta[0]).cpu())
        assert not success or result.mi[i].item() == pytest.approx(mi, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("device", "dtype", "critic", "count", "hidden", "chosen"),
    [
        ("cuda", torch.float32, "vanilla", 4, 10, triton),
        ("cuda", torch.float32, "released", 4, 10, triton),
        ("cuda", torch.float32, "released", 600, 10, triton),
        ("cuda", torch.float32, "released", 4, 65, portable),
        ("cuda", torch.float32, "vanilla", 600, 10, portable),
        ("cuda", torch.float64, "vanilla", 4, 10, portable),
        ("mps", torch.float32, "vanilla", 4, 10, portable),
        ("cpu", torch.float32, "vanilla", 4, 10, numba),
        ("cpu", torch.float64, "released", 4, 65, numba),
    ],
)
def test_the_engine_of_a_device(device, dtype, critic, count, hidden, chosen):
    state = Critics(build_layers(critic, 9, None, hidden), hidden, 1e-3, 5, torch.arange(2), dtype)
    assert type(engines.choose(state, torch.device(device), count)) is chosen.Engine


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from uae.mine.engines.triton import _train, _update

def compile(kernel, warps, **sizes):
    kinds = {"perms": "*i32", "inverses": "*i32", "samples": "i32", "steps": "i32"}
    kinds |= {"rate": "fp32", "root": "fp32"}
    if kernel is _update:
        del kinds["samples"]
    kinds |= dict.fromkeys(sizes, "constexpr")
    signature = {name: kinds.get(name, "*fp32") for name in kernel.arg_names}
    constants = {(kernel.arg_names.index(name),): value for name, value in sizes.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
    assert made.asm["cubin"] and made.metadata.shared <= 227 * 1024, made.metadata.shared

compile(_train, 4, K=16, D=784, H=10, ROWS=16, HIDDEN=16, TILE=32)
for hidden, rows in ((10, 16), (64, 64)):
    sizes = {"H": hidden, "IN": 11664, "OUT": 512, "ROWS": rows, "TILE_IN": 128, "TILE_OUT": 16}
    compile(_update, 4, **sizes)
"""


def test_the_kernels_compile_for_an_h100():
    """Triton's compiler needs no GPU: types, layouts and shared memory are checked here."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
