"""The user's model, data and output file, for `uae attack` and `uae augment`."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import operator
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

import uae
from uae import losses, records, storage
from uae.errors import InputError
from uae.stages.resume import ATTACK, _partial, resuming

PACKAGE = Path(uae.__file__).parent


@contextlib.contextmanager
def users_code(what: str) -> Iterator[None]:
    """Turn any exception of the user's code, SystemExit included, into a one-line InputError about `what`.

    Errors of `uae` already name a sample, a setting or a file, so their message is kept.
    """
    try:
        yield
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:
        message = " ".join(str(error).split())
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        ours = Path(frame.f_code.co_filename).is_relative_to(PACKAGE)
        if ours and isinstance(error, ValueError | OSError):
            raise InputError(message) from error
        raise InputError(f"{what}: {type(error).__name__}{': ' if message else ''}{message}") from error


def load_model(factory: str, checkpoint: Path | None = None, device: str = "cpu") -> nn.Module:
    """Load the model `module:model`, or call `module:callable`; then load a file's weights and set eval mode.

    Modules in the working directory are found, too. Raises InputError naming the mistake.
    """
    module, separator, name = factory.partition(":")
    if not separator:
        raise InputError(f"--model {factory!r}: write it as module:callable")
    sys.path.insert(0, str(Path.cwd()))
    with users_code(f"--model {factory!r}"):
        model = operator.attrgetter(name)(importlib.import_module(module))
        if not isinstance(model, nn.Module):
            model = model()
    if not isinstance(model, nn.Module):
        raise InputError(f"--model {factory!r} gives a {type(model).__name__}, not a torch.nn.Module")
    if checkpoint is not None:
        with users_code(f"--checkpoint {checkpoint}"):
            load_weights(model, checkpoint)
    with users_code(f"--model {factory!r}"):
        with contextlib.suppress(NotImplementedError):  # an exported model's mode is fixed
            model.eval()
        return model.to(device)


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a safetensors file written by `save_model` or `save_file` of safetensors.torch.

    `save_model` keeps only one name of tied weights. Neither function keeps state that is not a tensor.
    """
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise InputError(
            f"--checkpoint {path}: not a complete safetensors file ({error}); "
            "safetensors.torch.save_model(model, file) writes one"
        ) from None
    missing, unexpected = model.load_state_dict(weights, strict=False)
    state = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    loaded = {(state[name].data_ptr(), state[name].shape) for name in weights if name in state}
    missing = [
        name
        for name in missing
        if name in state and (state[name].data_ptr(), state[name].shape) not in loaded
    ]
    for names, what in ((missing, "lacks"), (unexpected, "has weights that the model lacks:")):
        if names:
            raise InputError(f"--checkpoint {path}: it {what} {', '.join(names)}")


def check_out(out: Path, **inputs: Path | None) -> None:
    """Raise InputError before the attack if `out` cannot be written or would replace an input.

    inputs: by option, the files that other options name.
    """
    if out.suffix.lower() != ".safetensors":
        raise InputError(f"--out {out}: the result is a safetensors file; call it {out.stem}.safetensors")
    folder = next(path for path in out.absolute().parents if path.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"--out {out}: {folder} is not a writable folder")
    for path in (out, _partial(out)):
        if path.is_symlink():
            raise InputError(f"--out {out}: {path} is a link, to {path.readlink()}; give a file")
        if not path.exists():
            continue
        if not path.is_file():
            raise InputError(f"--out {out}: {path} is a folder, device or pipe; give a file")
        for option, given in inputs.items():
            if given is not None and given.exists() and path.samefile(given):
                raise InputError(
                    f"--out {out} is --{option} {given}"
                    f"{'' if path == out else ' (progress is saved there)'}: the result "
                    "would replace it; give another file"
                )


def try_model(factory: str, model: nn.Module, images: Tensor) -> None:
    """Run the model on a batch of two and on one sample. Raises InputError if it fails."""
    for count in dict.fromkeys((min(2, len(images)), 1)):
        given = images[:count].clone()  # a copy, because the model may change it
        kind = f"{tuple(images.shape[1:])}, {images.dtype}: the model fails on a batch of {count}"
        what = f"--model {factory!r} cannot take samples of shape {kind}{_of_axes(images)}"
        with users_code(what), torch.no_grad():
            model(given)


def _of_axes(images: Tensor) -> str:
    """A hint on axes that may be missing or misplaced."""
    shape = tuple(images.shape)
    if len(shape) == 3:
        return f" (if they are images, they need a channel axis, (N, 1, {shape[1]}, {shape[2]}): x[:, None])"
    if len(shape) == 4 and shape[3] in (1, 3, 4) and shape[1] not in (1, 3, 4):
        return (
            f" (PyTorch's images are (N, channels, height, width), here (N, {shape[3]}, {shape[1]}, "
            f"{shape[2]}): x.transpose(0, 3, 1, 2))"
        )
    return ""


def resuming_own(
    out: Path, model: nn.Module, objective: str, labels: Tensor | None, copies: int
) -> dict[str, Any]:
    """The options `resume` and `tag` of an attack on the model that writes `out`.

    The attack also compares the loss of finished samples, because a model may depend on state that the tag
    does not cover.
    """
    weights = hashlib.sha256()
    for name, value in model.state_dict().items():
        weights.update(f"{name} ".encode())
        weights.update(_bytes(value))
    held = [objective, None if labels is None else labels.tolist(), copies]
    held += [str(model), _sources(model), weights.hexdigest()]
    return resuming(out, (*ATTACK, __name__), records.Clock(), *held)


def _bytes(value: Any) -> bytes:
    """The bytes of a state_dict's entry, which may be a quantised or sparse tensor or another object."""
    if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized:
        return value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return repr(value).encode()


def _sources(model: nn.Module) -> list[str]:
    """The digests of the files that may define the model.

    These are the files of its layers' classes and of all modules imported from the working directory.
    """
    here, environment = Path.cwd(), Path(sys.prefix)
    kinds = {type(layer).__module__ for layer in model.modules()}
    found = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or name.partition(".")[0] in ("torch", "uae"):
            continue
        path = Path(file).absolute()
        local = path.is_relative_to(here) and not path.is_relative_to(environment)
        if (local or name in kinds) and path.is_file():
            found.add(storage.digest(path))
    return sorted(found)


def objective(
    name: str,
    model: nn.Module,
    *,
    squared: bool,
    labels: Tensor | None,
    logits: bool = True,
    copies: int,
    seed: int,
) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of `uae attack --objective`. Raises InputError for an unknown name.

    logits: refuse probabilities instead of logits.
    """
    if name == "reconstruction":
        return losses.Reconstruction(model, squared=squared)
    if name == "margin":
        assert labels is not None  # of --labels
        return losses.Margin(model, labels, check=logits)
    if name == "contrastive":
        return losses.Contrastive(model, copies=copies, seed=seed)
    raise InputError(f"--objective {name!r} is not one of reconstruction, margin, contrastive")
