"""Published PyTorch checkpoints: converted by name, and refused where they are anything else."""

import collections
import os
import pickle
import zipfile

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from uae import checkpoints, models, storage, upstream
from uae.errors import BadFile


class Published(nn.Module):
    """TRADES' MNIST network as its repository names the parts: what the published file was saved from."""

    def __init__(self):
        super().__init__()
        conv = {"conv1": nn.Conv2d(1, 32, 3), "conv2": nn.Conv2d(32, 32, 3),
                "conv3": nn.Conv2d(32, 64, 3), "conv4": nn.Conv2d(64, 64, 3)}  # fmt: skip
        dense = {"fc1": nn.Linear(1024, 200), "fc2": nn.Linear(200, 200), "fc3": nn.Linear(200, 10)}
        self.feature_extractor, self.classifier = nn.ModuleDict(conv), nn.ModuleDict(dense)

    def forward(self, x):
        f, c = self.feature_extractor, self.classifier
        x = F.max_pool2d(F.relu(f["conv2"](F.relu(f["conv1"](x)))), 2)
        x = F.max_pool2d(F.relu(f["conv4"](F.relu(f["conv3"](x)))), 2).flatten(1)
        return c["fc3"](F.relu(c["fc2"](F.relu(c["fc1"](x)))))


@pytest.fixture
def published() -> Published:
    torch.manual_seed(0)
    return Published()


def test_the_mnist_model_computes_what_the_published_one_does(published, tmp_path):
    x = torch.rand(5, 1, 28, 28)
    for name, weights, new in (
        ("plain.pt", published.state_dict(), True),
        ("old.pt", published.state_dict(), False),  # the format of PyTorch 0.4, which TRADES used
        ("parallel.pt", {f"module.{k}": v for k, v in published.state_dict().items()}, True),
        ("wrapped.pt", {"state_dict": published.state_dict(), "epoch": 3}, True),
    ):
        torch.save(weights, tmp_path / name, _use_new_zipfile_serialization=new)
        model = upstream.load(tmp_path / name, "trades-mnist")
        assert not model.training
        torch.testing.assert_close(model(x), published(x), rtol=1e-5, atol=1e-6)


def test_the_lenet_computes_what_the_published_one_does(tmp_path):
    """AdverTorch's LeNet5 from its published layout: padding 1, pooling by 2, one hidden layer of 200."""
    torch.manual_seed(1)
    shapes = {"conv1": (32, 1, 3, 3), "conv2": (64, 32, 3, 3), "linear1": (200, 3136), "linear2": (10, 200)}
    weights = {f"{name}.weight": torch.randn(shape) / 10 for name, shape in shapes.items()}
    weights |= {f"{name}.bias": torch.randn(shape[0]) for name, shape in shapes.items()}
    torch.save(weights, tmp_path / "lenet.pt")
    x = h = torch.rand(3, 1, 28, 28)
    for name in ("conv1", "conv2"):
        h = F.max_pool2d(F.conv2d(h, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1).relu(), 2)
    h = F.linear(h.flatten(1), weights["linear1.weight"], weights["linear1.bias"]).relu()
    expected = F.linear(h, weights["linear2.weight"], weights["linear2.bias"])
    model = upstream.load(tmp_path / "lenet.pt", "advertorch-mnist")
    torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)


def wide_resnet_weights() -> dict[str, torch.Tensor]:
    """Tensors under the names of the published WRN-34-10, from its layout: 3 groups of 5 blocks."""
    names = {"conv1.weight": (16, 3, 3, 3), "fc.weight": (10, 640), "fc.bias": (10,)}
    norms = {"bn1": 640}
    for prefix in ("block1", "sub_block1", "block2", "block3"):
        first, width = {"block2": (160, 320), "block3": (320, 640)}.get(prefix, (16, 160))
        for i in range(5):
            block, channels = f"{prefix}.layer.{i}", width if i else first
            norms |= {f"{block}.bn1": channels, f"{block}.bn2": width}
            names[f"{block}.conv1.weight"] = (width, channels, 3, 3)
            names[f"{block}.conv2.weight"] = (width, width, 3, 3)
            if i == 0:
                names[f"{block}.convShortcut.weight"] = (width, channels, 1, 1)
    for norm, width in norms.items():
        names |= {f"{norm}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {name: torch.zeros(shape) for name, shape in names.items()}


def test_the_cifar_model_takes_every_weight_of_the_published_one(tmp_path, monkeypatch):
    """Without its unused block, and without the batch counters that older PyTorch did not have."""
    with torch.device("meta"):
        empty = models.NETWORKS["wide-resnet"](shape=(3, 32, 32), depth=34, widen=10)
    monkeypatch.setattr(models, "build", lambda *_, **__: empty)
    taken = {}
    monkeypatch.setattr(empty, "load_state_dict", lambda weights, strict: taken.update(weights))
    weights = wide_resnet_weights()
    weights["block2.layer.0.convShortcut.weight"] += 7
    torch.save(weights, tmp_path / "wrn.pt")
    upstream.load(tmp_path / "wrn.pt", "trades-cifar10")
    assert set(taken) == {k for k in empty.state_dict() if "num_batches" not in k}
    assert (taken["groups.1.0.shortcut.weight"] == 7).all()


def test_an_imported_model_is_a_checkpoint_like_any_other(published, tmp_path):
    torch.save(published.state_dict(), tmp_path / "p.pt")
    checkpoints.save(tmp_path / "ours.safetensors", *upstream.convert(tmp_path / "p.pt", "trades-mnist"))
    model, metadata = checkpoints.load(tmp_path / "ours.safetensors")
    x = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(model(x), published(x), rtol=1e-5, atol=1e-6)
    assert metadata["upstream"] == {
        "name": "trades-mnist", "file": "p.pt", "sha256": storage.digest(tmp_path / "p.pt"),
    }  # fmt: skip


class Exploit:
    """What a hostile pickle holds: a call, here one that would leave a file behind."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("kind", ["zip", "legacy", "protocol2", "protocol4"])
def test_a_pickle_with_code_is_refused_and_not_run(kind, published, tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "bad.pt"
    content = dict(published.state_dict()) | {"extra": Exploit(trace)}
    bare = kind.startswith("protocol")
    if bare:
        path.write_bytes(pickle.dumps(content["extra"], protocol=int(kind[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    asked = "" if kind == "protocol4" else "it asks for (posix|nt).system"
    with pytest.raises(BadFile, match=rf"bad\.pt: refused: .*{asked}.*nothing in it was run"):
        upstream.load(path, "trades-mnist")
    assert not trace.exists()
    pickle.loads(path.read_bytes()) if bare else torch.load(path, weights_only=False)
    assert trace.exists()  # the file was really hostile


def test_files_of_other_content_are_refused(published, tmp_path):
    def refused(content, message):
        torch.save(content, tmp_path / "x.pt")
        with pytest.raises(BadFile, match=rf"x\.pt: refused: .*{message}"):
            upstream.load(tmp_path / "x.pt", "trades-mnist")

    weights = collections.OrderedDict(published.state_dict())
    refused(Linears().state_dict(), "not the architecture of trades-mnist: lacks .* and has layer")
    refused({**weights, "classifier.fc1.weight": torch.zeros(200, 9)}, r"\(200, 9\).*\(200, 1024\)")
    refused({k: v for k, v in weights.items() if "fc3" not in k}, "lacks head.bias, head.weight")
    refused({**weights, "extra.weight": torch.zeros(2)}, "has extra.weight")
    refused({**weights, "classifier.fc3.bias": torch.full((10,), torch.nan)}, "head.bias .* not finite")
    refused({**weights, "epoch": 3}, "'epoch' is a int, not a tensor")
    refused(torch.zeros(3), "a Tensor, not weights by name")
    refused({}, "a dict, not weights by name")


class Linears(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    path = tmp_path / "x.pt"
    with pytest.raises(BadFile, match=r"x\.pt: no such file"):
        upstream.load(path, "trades-mnist")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as file:
        file.writestr("hello.txt", "hello")
    torch.save({"w": torch.zeros(1000)}, path)
    whole = path.read_bytes()
    for content in (b"", b"hello, I am text", whole[: len(whole) // 2], (tmp_path / "zip.pt").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(BadFile, match=r"x\.pt: refused: .*nothing in it was run"):
            upstream.load(path, "trades-mnist")
    with pytest.raises(ValueError, match="no published checkpoint 'madry'"):
        upstream.load(path, "madry")
