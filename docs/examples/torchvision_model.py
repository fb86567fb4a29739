"""UAEs for a torchvision model: the first stage of a ResNet-18 as the encoder of an autoencoder.

python docs/examples/torchvision_model.py (seconds on a CPU; the images ship with scikit-learn)
"""

import torch
import torchvision
from sklearn.datasets import load_sample_images
from torch import nn
from torch.nn import functional as F

import uae

torch.manual_seed(0)

# Patches of two photographs, in [0, 1].
photos = [torch.tensor(image).permute(2, 0, 1).float() / 255 for image in load_sample_images().images]
images = torch.cat(
    [photo.unfold(1, 32, 32).unfold(2, 32, 32).flatten(1, 2).transpose(0, 1) for photo in photos]
)
images = images[torch.randperm(len(images))[:256]]


class Autoencoder(nn.Module):
    """Any torchvision model can be the encoder; `weights="DEFAULT"` gives a pretrained one."""

    def __init__(self):
        super().__init__()
        resnet = torchvision.models.resnet18(weights=None)
        self.normalise = torchvision.transforms.Normalize((0.5,) * 3, (0.25,) * 3)  # part of the model
        self.encoder = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool, resnet.layer1)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(64, 32, 2, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 3, 2, stride=2),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return self.decoder(self.encoder(self.normalise(x)))


model = Autoencoder()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for _ in range(5):
    for batch in images.split(32):
        optimizer.zero_grad()
        F.mse_loss(model(batch), batch).backward()
        optimizer.step()
model.eval()


class AbsoluteError:
    """A loss of one's own: any callable (x_adv, x) -> (N,). `model` lets MINE see its first convolution."""

    def __init__(self, model):
        self.model = model

    def __call__(self, x_adv, x):
        return (self.model(x_adv) - x).abs().flatten(1).mean(1)


attack = uae.MinMaxAttack(steps=10, mi=uae.MINE(samples=uae.ConvolutionOutput("encoder.0")))
for loss in (uae.losses.Reconstruction(model), AbsoluteError(model)):
    result = attack(loss, images[:16], seed=0)
    norm = (result.adv - images[:16]).flatten(1).norm(dim=1).mean()
    print(
        f"{type(loss).__name__}: success rate {result.success_rate:.2f}, mean ‖δ‖₂ {norm:.2f},"
        f" loss {result.loss.mean():.4f} (clean {result.loss_clean.mean():.4f})"
    )
