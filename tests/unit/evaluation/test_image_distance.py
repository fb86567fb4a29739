"""FID against its closed form for Gaussians, KID of one distribution, the feature extractors."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from uae import models
from uae.errors import BadFile
from uae.evaluation import image_distance


def gaussian(count, mean, scales, seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, len(scales), generator=generator, dtype=torch.float64)
    return z * torch.tensor(scales, dtype=torch.float64) + mean


def whitened(count, mean, root, seed):
    """Samples whose own mean and covariance are exactly those wanted: no sampling error remains."""
    z = gaussian(count, 0.0, [1.0] * len(root), seed)
    z = z - z.mean(0)
    z = z @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(z.T))).T
    return z @ root + mean


def test_fid_is_the_closed_form_for_two_gaussians():
    """|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2); for commuting S the last is the product of the roots."""
    rotation = torch.linalg.qr(gaussian(3, 0.0, [1.0] * 3, 9))[0]
    a, b = torch.tensor([1.0, 2.0, 0.5]).double(), torch.tensor([0.3, 2.0, 4.0]).double()
    shift = torch.tensor([1.0, -2.0, 0.5]).double()
    roots = [rotation.T @ torch.diag(s) @ rotation for s in (a, b)]
    real, other = whitened(500, 0.0, roots[0], 0), whitened(400, shift, roots[1], 1)
    expected = shift.square().sum() + (a - b).square().sum()
    found = image_distance.distances(real, other, seed=0)
    assert found.fid == pytest.approx(expected.item(), rel=1e-6)
    assert found.kid_subset == 400
    # Any order of the samples, and itself at 0.
    again, itself = (image_distance.distances(real, z, seed=0) for z in (other.flip(0), real))
    assert again.fid == pytest.approx(found.fid, rel=1e-9)
    assert itself.fid == pytest.approx(0, abs=1e-4)


def test_kid_is_near_0_for_one_distribution_and_not_for_two():
    real, same, other = (gaussian(600, m, [1.0] * 4, s) for m, s in ((0, 0), (0, 1), (1, 2)))
    near, far = (image_distance.distances(real, z, seed=0, subset_size=200) for z in (same, other))
    assert abs(near.kid) < 0.02 and near.kid_subset == 200
    assert far.kid > 10 * abs(near.kid) and far.fid > 3
    assert near.kid_std > 0
    # The subsets are the seed's, whatever else draws random numbers.
    torch.rand(7)
    assert image_distance.distances(real, same, seed=0, subset_size=200) == near
    assert image_distance.distances(real, same, seed=1, subset_size=200) != near


def test_kid_is_the_unbiased_mmd_of_the_cubic_kernel():
    """On whole samples: the estimator of Binkowski et al. written out with loops."""
    x, y = gaussian(6, 0.0, [1.0, 1.0], 3), gaussian(6, 0.5, [1.0, 2.0], 4)

    def k(a, b):
        return (a @ b / 2 + 1).item() ** 3

    def mean(a, b, skip):
        values = [k(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if not (skip and i == j)]
        return sum(values) / len(values)

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    found = image_distance.distances(x, y, seed=0)
    assert found.kid == pytest.approx(expected, rel=1e-6)
    assert found.kid_subset == 6 and found.kid_std == pytest.approx(0, abs=1e-9)


def test_kid_meets_the_same_subsets_of_the_real_samples_for_all():
    """Two copies of one sample differ in nothing, though each subset is random."""
    generator = torch.Generator().manual_seed(0)
    real, other = torch.rand(40, 3, generator=generator), torch.rand(6, 3, generator=generator)
    one, two = (image_distance.distances(real, z, seed=0) for z in (other, other.clone()))
    assert one.kid_std > 0 and (one.kid, one.kid_std) == (two.kid, two.kid_std)


def test_one_sample_has_no_covariance():
    with pytest.raises(ValueError, match="need two samples"):
        image_distance.distances(torch.rand(5, 3), torch.rand(1, 3), seed=0)


def test_the_penultimate_layer():
    model = models.build("carlini-wagner", (3, 16, 16), widths=(4, 5, 7)).eval()
    extractor = image_distance.penultimate(model, 16)
    x = torch.rand(3, 3, 16, 16)
    features = extractor(x)
    assert features.shape == (3, 7) and not features.requires_grad
    torch.testing.assert_close(model.head(features), model(x))
    assert extractor.resize == 16 and "penultimate" in extractor.name


def test_inception_from_a_file(tmp_path):
    """The network that FID is defined on, with random weights: shapes, resizing, grey images."""
    from torch_fidelity import feature_extractor_inceptionv3 as upstream

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upstream, "load_state_dict_from_url", lambda *a, **k: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *a, **k: None)
        network = upstream.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    extractor = image_distance.inception(tmp_path / "inception.pth")
    x = torch.rand(1, 1, 20, 20)
    with torch.no_grad():
        features = extractor(x)
    assert features.shape == (1, 2048) and extractor.resize == 299
    assert extractor.name == "Inception-v3"

    for content, what in ((b"nonsense", "nonsense"), (None, "no such file")):
        path = tmp_path / f"{what}.pth"
        if content:
            path.write_bytes(content)
        with pytest.raises(BadFile, match=f"{what}.pth: not a state dict"):
            image_distance.inception(path)
    torch.save({"run": math.sqrt}, tmp_path / "code.pth")
    with pytest.raises(BadFile, match=r"(?s)code\.pth.*weights_only"):
        image_distance.inception(tmp_path / "code.pth")


def test_the_third_network_knows_what_it_sees(monkeypatch):
    """ImageNet's classes of two photographs: its weights and the pixels that it is given are right."""
    from sklearn.datasets import load_sample_images

    extractor = image_distance.lite0()
    assert extractor is not None, "the extra `features` is not installed: make .venv/installed"
    found = []
    for photo in load_sample_images().images:  # china.jpg and flower.jpg, 427 × 640
        middle = np.ascontiguousarray(photo[:, 106:533]).astype(np.float32) / 255
        features = extractor(torch.from_numpy(middle).permute(2, 0, 1)[None])
        found.append(int(extractor.network.network._fc(features).argmax()))
    assert found == [698, 985]  # palace, daisy
    grey = torch.rand(2, 1, 16, 16)
    features = extractor(grey)
    assert features.shape == (2, 1280) and not features.requires_grad and extractor.resize == 224
    torch.testing.assert_close(features, extractor(grey.expand(-1, 3, -1, -1)))
    monkeypatch.setattr(image_distance, "LITE0", "0" * 64)
    with pytest.raises(BadFile, match="not the published weights"):
        image_distance.lite0()
