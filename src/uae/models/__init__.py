"""The paper's models, by name."""

from __future__ import annotations

import inspect
import re
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import nn

from uae.models.adversarial import Adversarial
from uae.models.autoencoders import Convolutional, Dense
from uae.models.classifiers import CarliniWagner
from uae.models.concrete import Concrete
from uae.models.madry import MadryCNN
from uae.models.resnet import ResNet18
from uae.models.simclr import SimCLR
from uae.models.wide_resnet import WideResNet

NETWORKS: dict[str, type[nn.Module]] = {
    "dense": Dense,
    "sparse": Dense,  # the training loss makes it sparse
    "convolutional": Convolutional,
    "adversarial": Adversarial,
    "concrete": Concrete,
    "carlini-wagner": CarliniWagner,
    "madry": MadryCNN,
    "resnet18": ResNet18,
    "wide-resnet": WideResNet,
    "simclr": SimCLR,
}


def build(network: str, shape: tuple[int, ...], **arguments: Any) -> nn.Module:
    """Build a new model for samples of a shape: (C, H, W) for images, (d,) for the rows of a table.

    Raises ValueError naming a network or argument that is unknown, is no size, or does not fit the shape.
    """
    if network not in NETWORKS:
        raise ValueError(f"no network {network!r}; there are {', '.join(NETWORKS)}")
    known = {
        name: p for name, p in inspect.signature(NETWORKS[network]).parameters.items() if name != "shape"
    }
    if unknown := set(arguments) - set(known):
        raise ValueError(f"network {network} takes {sorted(known) or 'no arguments'}, not {sorted(unknown)}")
    for name, value in arguments.items():
        sizes = value if isinstance(value, list | tuple) else [value]
        wrong = [s for s in sizes if isinstance(s, bool) or not isinstance(s, Integral) or s < 1]
        of_sizes = re.search(r"\bint\b", str(known[name].annotation))
        if of_sizes and wrong and value != known[name].default:
            raise ValueError(f"network {network}: {name} takes whole numbers from 1, got {value!r}")
    # Channels last is twice as fast for these convolutions on a CPU, and tensor cores prefer it.
    return NETWORKS[network](shape=tuple(shape), **arguments).to(memory_format=torch.channels_last)


def pretrained(name: str, source: str | Path | None = None) -> nn.Module:
    """A trained model of a release bundle, such as `mnist/convolutional`, in eval mode on the CPU.

    source: the folder or the address of the bundle; None: the environment variable UAE_PRETRAINED.
    The file is compared with the SHA-256 in the bundle's index before it is read. A downloaded file is kept
    in the folder of torch.hub.
    Raises InputError for a name that the bundle lacks, or naming a file that is missing or damaged.
    """
    from uae import bundle  # imported here, because it imports this module

    return bundle.load(name, source)
