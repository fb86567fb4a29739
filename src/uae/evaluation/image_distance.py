"""FID and KID between adversarial examples and training images (Table 2), through torchmetrics."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from uae import seeding
from uae.data import untrusted
from uae.errors import BadFile

SUBSETS = 100


@dataclass(frozen=True)
class Extractor:
    """Images (N, C, H, W) in [0, 1] to features (N, d).

    name: for people.  resize: the side in pixels that the network sees.
    """

    network: nn.Module
    name: str
    resize: int
    batch_size: int

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self.network(batch) for batch in images.split(self.batch_size)])


class _Penultimate(nn.Module):
    def __init__(self, classifier: nn.Module):
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier.penultimate(images)


def penultimate(classifier: nn.Module, side: int) -> Extractor:
    """What the logits of a trained classifier are computed from; it sees images as they are."""
    return Extractor(_Penultimate(classifier.eval()), "the classifier's penultimate layer", side, 500)


class _Inception(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        images = (images * 255).round().to(torch.uint8)
        return self.network(images.expand(-1, 3, -1, -1))


def inception(weights: Path, device: str | torch.device = "cpu") -> Extractor:
    """The pooled 2048 features of the Inception-v3 that FID is defined on; images are resized to 299.

    weights: a PyTorch state dict as torch-fidelity and pytorch-fid publish it. Raises BadFile naming it.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3

    try:
        untrusted.regular(Path(weights))
        # Their loader would run any pickle: see first that the file holds tensors and nothing else.
        torch.load(weights, weights_only=True, map_location="meta")
        network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights))
    except Exception as error:
        reason = " ".join(str(error).removeprefix(f"{weights}: ").split())[:300] or type(error).__name__
        raise BadFile(
            f"{weights}: not a state dict of the FID Inception-v3 ({reason}); delete it or name another file"
        ) from None
    return Extractor(_Inception(network.to(device)), "Inception-v3", 299, 50)


@dataclass(frozen=True)
class Distances:
    """fid.  kid, kid_std: mean and standard deviation over subsets of kid_subset samples each."""

    fid: float
    kid: float
    kid_std: float
    kid_subset: int


def distances(real: Tensor, others: list[Tensor], seed: int, subset_size: int = 1000) -> list[Distances]:
    """FID and KID of each of some samples (n, d) of features to the real ones (N, d).

    subset_size: of KID's subsets; never more than there are samples.
    Raises ValueError with fewer than two samples, which have no covariance.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that KID keeps its features in memory
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance

        # The features are there already.
        identity = nn.Identity()
        identity.num_features = real.shape[1]
        fid = FrechetInceptionDistance(identity, reset_real_features=False).to(real.device)
        fid.update(real, real=True)
        found = []
        for other in others:
            size = min(subset_size, len(real), len(other))
            if size < 2:
                raise ValueError(
                    f"FID and KID need two samples, got {len(real)} real and {len(other)} others"
                )
            kid = KernelInceptionDistance(identity, subsets=SUBSETS, subset_size=size).to(real.device)
            kid.update(real, real=True)
            kid.update(other, real=False)
            # It draws subsets from the CPU's default generator: the same of the real samples for all.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seeding.derive(seed, "kid"))
                mean, std = kid.compute()
            fid.update(other, real=False)
            found.append(Distances(fid.compute().item(), mean.item(), std.item(), size))
            fid.reset()
    return found
