"""Checks of every attack's input, with errors that name the sample."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uae import seeding
from uae.attacks.result import AttackResult
from uae.limits import is_count
from uae.losses import Classification
from uae.sampling import fixed

IN_PLACE = (
    "the model, the loss or the features change their input in place, which would change your images: "
    "compute on a copy, x.clone(), or set inplace=False in the layer that receives the input"
)


def check_settings(bounds: tuple[float, float], batch_size: int | None) -> None:
    """Raise ValueError if a setting that all attacks share is out of range."""
    try:
        low, high = map(float, bounds)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high:
        raise ValueError(f"bounds must be (low, high), got {bounds!r}")
    if batch_size is not None and not is_count(batch_size):
        raise ValueError(
            f"batch_size must be at least 1 or None, got {batch_size!r}, not a whole number from 1"
        )


def check_call(
    loss: object, images: Tensor, seed: int, index: Tensor | None, bounds: tuple[float, float]
) -> Tensor:
    """Check images, model, labels and seed.

    Returns the samples' indices (0..N-1 unless given), int64 on the images' device.
    """
    if torch.is_inference_mode_enabled():  # all gradients would silently be zero
        raise ValueError("an attack needs gradients: call it outside torch.inference_mode()")
    check_images(images, bounds)
    if isinstance(loss, torch.nn.Module) and not fixed(loss):
        try:
            inspect.signature(loss.forward).bind(images, images)
        except TypeError:
            raise ValueError(
                f"the {type(loss).__name__} is a model, not a loss of (x_adv, x): give "
                "uae.losses.Reconstruction(model), or Margin(model, labels) of a classifier"
            ) from None
    check_model(loss)
    seeding.check_seed(seed)
    index = torch.arange(len(images)) if index is None else torch.as_tensor(index)
    if hasattr(loss, "__len__") and len(loss) != len(images):  # a chunk could silently use the wrong labels
        raise ValueError(f"the loss has labels for {len(loss)} samples: need one for each of {len(images)}")
    if index.shape != (len(images),):
        raise ValueError(f"index has shape {tuple(index.shape)}: need one index for each of {len(images)}")
    if hasattr(loss, "check_labels"):  # all chunks are checked before the first is attacked
        loss.check_labels(images)
    return seeding.integers(index).to(images.device)


def check_criterion(loss: object) -> None:
    """Raise ValueError for a classifier's loss that says nothing about success, such as the cross-entropy.

    It is at most 0 nowhere or, if targeted, everywhere.
    """
    if isinstance(loss, Classification) and loss.sign > 0:
        raise ValueError(
            f"{type(loss).__name__} is not at most 0 just where an attack succeeds, so it is no criterion: "
            "use uae.losses.Margin, or uae.PGD, which takes both"
        )


def check_images(images: Tensor, bounds: tuple[float, float]) -> None:
    """Raise ValueError unless images is a non-empty finite float batch within bounds."""
    if not isinstance(images, Tensor):
        raise ValueError(f"images are a {type(images).__name__}: need a torch.Tensor, see torch.as_tensor")
    if not images.is_floating_point():
        raise ValueError(f"images are {images.dtype}: need floating point values in {list(bounds)}")
    if images.ndim < 2 or images.numel() == 0:
        raise ValueError(f"images have shape {tuple(images.shape)}: need (N, ...) without an empty axis")
    low, high = bounds
    flat = images.detach().flatten(1)
    for bad, what in (
        (~flat.isfinite(), "is not finite"),
        (
            (flat < low) | (flat > high),
            f"is outside the bounds [{low}, {high}]: scale the images or, after a rounding, clamp it "
            f"(images.clamp({low}, {high})); or give other bounds",
        ),
    ):
        if bad.any():
            sample = int(bad.any(1).nonzero()[0])
            raise ValueError(f"sample {sample}: a value of {_exact(flat[sample][bad[sample]][0])} {what}")


def _exact(value: Tensor) -> str:
    """The shortest text that reads back as the same number in its type."""
    return str(np.float64(value.item()) if value.dtype == torch.float64 else np.float32(value.item()))


def check_model(loss: object) -> None:
    """Raise ValueError if the loss's model is in training mode, where its output depends on the batch.

    Other networks of the loss may train: `uae.attacks.probe` finds what the loss's values depend on. An
    exported or frozen model has no mode to set.
    """
    model = getattr(loss, "model", None)
    if not isinstance(model, torch.nn.Module) or fixed(model):
        return
    for name, module in model.named_modules():
        if getattr(module, "training", False):
            raise ValueError(
                f"{type(model).__name__}: module {name or '(the model itself)'!r} is in training mode; "
                "call model.eval() first"
            )


def check_loss(values: Tensor, count: int) -> None:
    """Raise ValueError unless a loss returned one floating point number per sample."""
    if not isinstance(values, Tensor) or values.shape != (count,) or not values.is_floating_point():
        got = f"shape {tuple(values.shape)}, {values.dtype}" if isinstance(values, Tensor) else type(values)
        raise ValueError(f"the loss must return one floating point number per sample, ({count},); got {got}")


def check_features(values: Tensor, x: Tensor, what: str) -> None:
    """Raise ValueError unless features of the samples x are floats (N, K, D)."""
    if not isinstance(values, Tensor):
        raise ValueError(f"{what}: it is a {type(values).__name__}: need one tensor, (N, K, D)")
    if values.ndim != 3 or len(values) != len(x) or not values.is_floating_point():
        raise ValueError(
            f"{what}: shape {tuple(values.shape)}, {values.dtype} for {len(x)} samples: need floats (N, K, "
            f"D), here ({len(x)}, K, D). Is the batch axis folded into another or repeated, or does the "
            "layer see the batch in parts? Name another layer, or use RandomSampling"
        )


def check_untouched(x: Tensor, images: Tensor) -> None:
    """Raise ValueError if a model has changed the copy x of the images."""
    if not torch.equal(x, images):
        raise ValueError(IN_PLACE)


def check_finite(values: Tensor, index: Tensor, what: str) -> None:
    """Raise ValueError naming the first sample for which a value is NaN or infinite."""
    bad = ~values.isfinite()
    if bad.any():
        first = int(bad.nonzero()[0])
        raise ValueError(f"sample {int(index[first])}: {what} is {values[first].item()}")


class _Weighted(torch.autograd.Function):
    """Zero, with the weights as its gradient by `values`. It serves only as the end of a graph.

    Computing the weighted sum would take two more passes over both tensors. Weights as `grad_outputs` would
    make PyTorch import its symbolic shapes (0.5 s).
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(weights)
        return values.new_zeros(())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.saved_tensors[0], None


def gradient(values: Tensor, x: Tensor, weights: Tensor | None = None) -> Tensor:
    """The gradient by x of the (weighted) sum of values; zeros if the values do not depend on x."""
    if not values.requires_grad:
        return torch.zeros_like(x)
    with torch.enable_grad():  # the caller may be in no_grad
        total = values.sum() if weights is None else _Weighted.apply(values, weights)
    (found,) = torch.autograd.grad(total, x, allow_unused=True)
    return torch.zeros_like(x) if found is None else found


def report_zero_gradients(log: logging.Logger, result: AttackResult) -> None:
    """Count in the metadata the samples with a zero gradient at every iterate; warn about failed ones."""
    assert result.zero_gradient is not None  # attacks count them
    result.metadata["zero_gradients"] = int(result.zero_gradient.sum())
    stuck = result.index[result.zero_gradient & ~result.success].tolist()
    if stuck and result.zero_gradient.all():
        log.warning(
            "the gradient is zero for all %d samples at every step: the loss may be detached, or computed "
            "under no_grad; this says nothing about the model",
            len(result),
        )
    elif stuck:
        log.warning(
            "for %d of %d samples the gradient is zero at every step and the attack fails (the first is "
            "sample %d): this says nothing about the model",
            len(stuck),
            len(result),
            stuck[0],
        )
