"""Checks before an attack: loss and features depend on each sample alone and keep their input.

An attack compares the losses of one sample in their sixth digit, over many calls and in batches of any size.
If the model draws random numbers, keeps state or normalises by its batch, the attack reports false successes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from uae.attacks import checks
from uae.attacks.problem import part_of
from uae.attacks.threads import Loss
from uae.sampling import Features, fixed

EPS = torch.finfo(torch.float32).eps
FEATURE_SAMPLES = 4  # enough: features depend on a sample's values only

HOLDS = (
    "the loss cannot be called on one of the samples alone. If it holds a value per sample, give it a method "
    "`subset(rows)` and a length, as uae.losses.Margin has for its labels"
)


def probe_loss(loss: Loss, x: Tensor, index: Tensor, of_rows: bool = False) -> None:
    """Raise ValueError naming the sample if the loss of a sample of x (N, ...) depends on anything else.

    x: an attack's first chunk, which fits the memory as a whole. The check calls the loss on all of it, on
    x with other samples in every second row, and on the first sample alone; again on all if these differ.
    of_rows: whether the attack asks for the loss of any rows of a chunk, as it does with MINE.
    """

    def values(x_adv: Tensor, x: Tensor) -> Tensor:
        found = loss(x_adv, x)
        checks.check_loss(found, len(x))
        return found

    point, found = _twice(values, x, index, "the loss")
    if len(x) == 1:
        return
    part = part_of(loss, slice(0, 1))
    try:
        alone = _spared(part, point[:1], x[:1])
    except Exception as error:
        if part is loss:
            error.add_note(HOLDS)
        raise
    if isinstance(alone, Tensor) and alone.shape == found.shape and part is loss:
        if of_rows:
            raise ValueError(HOLDS)
        return  # it holds one value per sample, and this chunk has all samples
    checks.check_loss(alone, 1)
    _compare_alone(found, alone, x, index, "the loss")


def probe_features(features: Features, x: Tensor, index: Tensor) -> None:
    """The same check for the features (N, K, D), which must also be finite and have a gradient."""
    x, what = x[:FEATURE_SAMPLES], features.what

    def values(x_adv: Tensor, _: Tensor) -> Tensor:
        found = features.compute(x_adv, 0)
        checks.check_features(found, x_adv, what)
        return found

    point, found = _twice(values, x, index, what)
    checks.check_finite(found.flatten(1).abs().amax(1), index, what)
    if len(x) > 1:
        _compare_alone(found, _spared(values, point[:1], x[:1]), x, index, what)
    leaf = x[:1].clone().requires_grad_()
    with torch.enable_grad():
        found = features.compute(leaf, 0)
        gradient = None
        if found.requires_grad:
            (gradient,) = torch.autograd.grad(found.sum(), leaf, allow_unused=True)
    if gradient is None:
        raise ValueError(
            f"{what}: it has no gradient with respect to the samples, so MINE cannot guide the attack: "
            "use RandomSampling, mi=uae.MINE(samples=uae.RandomSampling()), or another layer"
        )


@contextlib.contextmanager
def explained(loss: Loss, images: Tensor) -> Iterator[None]:
    """Explain the failure of a model of another floating-point type, or exported for another batch size."""
    try:
        yield
    except (AssertionError, RuntimeError) as error:
        model = getattr(loss, "model", None)
        if not isinstance(model, nn.Module):
            raise
        types = {p.dtype for p in model.parameters() if p.is_floating_point()}
        if types and images.dtype not in types and isinstance(error, RuntimeError):
            own = " or ".join(sorted(map(str, types)))
            raise ValueError(
                f"the images are {images.dtype} and the model's weights {own}: convert one of them, for "
                f"instance images.to({own}) ({error})"
            ) from error
        if not fixed(model):
            raise
        raise ValueError(
            f"the {type(model).__name__} fails on some of the samples ({type(error).__name__}: {error}). An "
            "attack calls it on batches of any size: export it with dynamic_shapes for the batch axis "
            "(torch.export.Dim.AUTO), or give the module that it was made from"
        ) from error


def _twice(call: Loss, x: Tensor, index: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """A point x_adv and the values there. Raises ValueError if a second call gives other values."""
    # One shape uses one kernel, in which a row does not depend on the others' values. But on a GPU the order
    # of sums may be random. The criterion of an attack compares the sixth digit.
    tolerance = EPS if x.device.type == "cpu" else 16 * EPS
    point = x.clone()
    # Otherwise the first sample may hold the batch's largest value, and the check would miss x / x.max().
    point[0] = (x[0] + x[0].mean()) / 2
    others = torch.arange(len(x), device=x.device)
    others[1::2] = 0
    for _ in range(2):  # twice, because a compiler or a lazy layer may need one call to initialise
        first = _spared(call, point, x)
        second = _spared(call, point[others], x[others])
        row = _differing(first[::2], second[::2], tolerance)
        if row is None:
            return point, first
    again = _spared(call, point, x)
    drawn = _differing(first, again, tolerance)
    if drawn is not None:
        raise ValueError(
            f"sample {int(index[drawn])}: {what} differs between two calls on the same samples"
            f"{_shown(first[drawn], again[drawn])}: it draws random numbers or keeps state. An attack would "
            "report false successes: let the model compute without them, or seed a generator at each "
            "call"
        )
    assert row is not None  # or it had returned
    raise ValueError(_of_batch(f"sample {int(index[2 * row])}", what, first[2 * row], second[2 * row]))


def agree(first: Tensor, second: Tensor, x: Tensor) -> bool:
    """Whether the values (N, ...) of samples x may come from one function on batches of two sizes.

    Two sizes use different kernels, which agree to four digits on a CPU. On a GPU they agree to two, because
    the model may use TF32 or bfloat16. A loss may also be a small difference of larger numbers.
    """
    full = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    full &= min(torch.finfo(t.dtype).bits for t in (x, first, second)) >= 32
    floor = 64 * EPS * float(x.double().flatten(1).norm(dim=1).max())
    return _differing(first, second, 1e-4 if full else 1e-2, floor) is None


def _compare_alone(found: Tensor, alone: Tensor, x: Tensor, index: Tensor, what: str) -> None:
    if not agree(found[:1], alone, x[:1]):
        raise ValueError(_of_batch(f"sample {int(index[0])}", what, found[0], alone[0]))


def _of_batch(sample: str, what: str, one: Tensor, other: Tensor) -> str:
    return (
        f"{sample}: {what} depends on the other samples of its batch{_shown(one, other)}, as with batch norm "
        "without running statistics or x / x.max(): make it a function of each sample, or attack with "
        "batch_size=1"
    )


def _shown(one: Tensor, other: Tensor) -> str:
    return "" if one.ndim else f" ({one.item()!r} and {other.item()!r})"


def _spared(call: Loss, x_adv: Tensor, x: Tensor) -> Tensor:
    """Run call(x_adv, x) on copies. Raises ValueError if it changes them."""
    with torch.no_grad():
        given = x_adv.clone(), x.clone()
        versions = [tensor._version for tensor in given]
        found = call(*given)
    spared = [tensor._version for tensor in given] == versions
    if not spared:
        raise ValueError(checks.IN_PLACE)
    for copy, original in zip(given, (x_adv, x), strict=True):  # `.data` and NumPy keep the version
        checks.check_untouched(copy, original)
    return found


def _differing(first: Tensor, second: Tensor, relative: float, floor: float = 0.0) -> int | None:
    """The first row whose values differ by more than `relative` of the largest, plus `floor`."""
    first, second = first.detach().double(), second.detach().double()
    if first.shape != second.shape:
        return 0
    size = torch.where(first.isfinite(), first.abs(), 0).max()
    differ = ~torch.isclose(first, second, rtol=0, atol=float(relative * size + floor), equal_nan=True)
    rows = differ.flatten(1).any(1) if first.ndim > 1 else differ
    return int(rows.nonzero()[0]) if rows.any() else None
