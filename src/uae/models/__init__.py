"""The paper's models, by name."""

from __future__ import annotations

import inspect
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
    "sparse": Dense,  # the sparsity is in the training loss
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
    """A new model for samples of the given shape: (C, H, W) images, or (d,) the rows of a table.

    Raises ValueError naming what is not known or does not fit the shape.
    """
    if network not in NETWORKS:
        raise ValueError(f"no network {network!r}; there are {', '.join(NETWORKS)}")
    known = set(inspect.signature(NETWORKS[network]).parameters) - {"shape"}
    if unknown := set(arguments) - known:
        raise ValueError(f"network {network} takes {sorted(known) or 'no arguments'}, not {sorted(unknown)}")
    # Channels last: twice as fast for these convolutions on the CPU, and what tensor cores want.
    return NETWORKS[network](shape=tuple(shape), **arguments).to(memory_format=torch.channels_last)


def pretrained(name: str, source: str | Path | None = None) -> nn.Module:
    """A trained model of a release bundle, such as `mnist/convolutional`, in eval mode on the CPU.

    source: the folder or the address of the bundle; None: what the environment variable UAE_PRETRAINED says.
    Its file is compared with the SHA-256 of the bundle's index before it is read. What comes from an address
    is kept in the folder of torch.hub.
    Raises InputError for a name that the bundle lacks, and naming a file that cannot be had or is damaged.
    """
    from uae import bundle  # which builds the model with this module

    return bundle.load(name, source)
