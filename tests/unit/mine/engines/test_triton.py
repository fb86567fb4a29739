"""The GPU's kernels: run by Triton's interpreter where there is no GPU, and compiled for four GPUs.

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


@pytest.mark.parametrize(("count", "dim", "hidden"), [(16, 32, 10), (7, 37, 3), (20, 130, 17), (500, 40, 10)])
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
def test_the_engine_of_a_device(device, dtype, critic, count, hidden, chosen, monkeypatch):
    monkeypatch.setattr(triton, "room", lambda device: ROOM[90])
    assert type(engine_of(device, dtype, critic, count, hidden)) is chosen.Engine


def engine_of(device, dtype, critic, count, hidden):
    state = Critics(build_layers(critic, 9, None, hidden), hidden, 1e-3, 5, torch.arange(2), dtype)
    return engines.choose(state, torch.device(device), count)


# Bytes of shared memory that a program may take, by compute capability: T4, A100, RTX 4090, H100
ROOM = {75: 64 * 1024, 80: 163 * 1024, 89: 99 * 1024, 90: 227 * 1024}


@pytest.mark.parametrize(
    ("critic", "count", "hidden", "expected"),
    [
        ("vanilla", 16, 10, {75: 3, 80: 3, 89: 3, 90: 3}),
        ("vanilla", 64, 64, {75: 1, 80: 1, 89: 1, 90: 3}),
        ("vanilla", 200, 10, {75: 1, 80: 3, 89: 1, 90: 3}),
        ("vanilla", 500, 10, {75: None, 80: 1, 89: 1, 90: 3}),
        ("vanilla", 500, 17, {75: None, 80: 1, 89: None, 90: 1}),
        ("vanilla", 500, 64, {75: None, 80: None, 89: None, 90: None}),
        ("released", 500, 10, {75: 1, 80: 3, 89: 3, 90: 3}),
        ("released", 500, 64, {75: 1, 80: 3, 89: 1, 90: 3}),
    ],
)
def test_a_kernel_that_does_not_fit_gives_way(critic, count, hidden, expected, monkeypatch):
    """To one with fewer tiles in shared memory, then to the portable path."""
    for capability, stages in expected.items():
        assert triton.stages(critic == "vanilla", count, hidden, ROOM[capability]) == stages
        monkeypatch.setattr(triton, "room", lambda device, c=capability: ROOM[c])
        chosen = type(engine_of("cuda", torch.float32, critic, count, hidden))
        assert chosen is (portable if stages is None else triton).Engine


def test_without_a_compiler_the_critics_train_on_the_portable_path(monkeypatch, caplog):
    class Broken:
        @property
        def active(self):
            raise RuntimeError("Failed to find C compiler")

    monkeypatch.setattr(triton.triton.runtime, "driver", Broken())
    triton.room.cache_clear()
    try:
        for _ in range(2):
            chosen = engine_of("cuda:0", torch.float32, "vanilla", 4, 10)
            assert type(chosen) is portable.Engine
    finally:
        triton.room.cache_clear()
    assert len(caplog.records) == 1 and "Failed to find C compiler" in caplog.text


COMPILE = """
import sys
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import triton
from uae.mine.engines import triton as ours

CAPABILITY, ROOM = int(sys.argv[1]), int(sys.argv[2])

def compile(kernel, warps, stages, expected, **sizes):
    kinds = {"perms": "*i32", "inverses": "*i32", "samples": "i32", "steps": "i32"}
    kinds |= {"rate": "fp32", "root": "fp32"}
    if kernel is ours._update:
        del kinds["samples"]
    kinds |= dict.fromkeys(sizes, "constexpr")
    signature = {name: kinds.get(name, "*fp32") for name in kernel.arg_names}
    constants = {(kernel.arg_names.index(name),): value for name, value in sizes.items()}
    # As at a launch: PyTorch's tensors are aligned.
    aligned = [i for i, name in enumerate(kernel.arg_names) if signature[name].startswith("*")]
    attributes = {(i,): [["tt.divisibility", 16]] for i in aligned}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    options = {"num_warps": warps, "num_stages": stages}
    made = triton.compile(source, target=GPUTarget("cuda", CAPABILITY, 32), options=options)
    assert made.asm["cubin"] and made.metadata.shared <= expected <= ROOM, (sizes, made.metadata.shared)

for text in sys.argv[3:]:
    rows, hidden, dim = map(int, text.split(","))
    stages = ours.stages(True, rows, hidden, ROOM)
    if stages is not None:
        tile, warps = ours._tile(rows), 4 if rows <= 64 else 16
        sizes = {"K": rows, "D": dim, "H": hidden, "ROWS": rows, "HIDDEN": hidden, "TILE": tile}
        compile(ours._train, warps, stages, ours.of_train(rows, hidden, tile, stages), **sizes)
for rows in (16, 64):
    stages = ours.stages(False, 0, rows, ROOM)
    sizes = {"H": rows, "IN": 11664, "OUT": 512, "ROWS": rows}
    sizes |= {"TILE_IN": ours.TILE_IN, "TILE_OUT": ours.TILE_OUT}
    compile(ours._update, 4, stages, ours.of_update(rows, stages), **sizes)
"""
EVERY = [(rows, hidden, 784) for rows in (16, 32, 64, 128, 256, 512) for hidden in (16, 32, 64)]
CORNERS = [(16, 16, 784), (16, 16, 37), (64, 64, 784), (256, 64, 784), (512, 16, 128)]


@pytest.mark.parametrize(
    ("capability", "classes"), [(80, EVERY), (75, CORNERS), (89, CORNERS), (90, CORNERS)]
)
def test_the_kernels_compile_and_take_no_more_memory_than_was_counted(capability, classes):
    """Triton's compiler needs no GPU: types, layouts and shared memory are checked here.

    An A100 has every class of sizes, and the others the smallest and the largest.
    """
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    sizes = [",".join(map(str, size)) for size in classes]
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(capability), str(ROOM[capability]), *sizes],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
