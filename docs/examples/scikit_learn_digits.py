"""Augment a scikit-learn data set with UAEs, and compare with as many steps on the originals.

python docs/examples/scikit_learn_digits.py (seconds on a CPU; the data ship with scikit-learn)
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

import uae

x = load_digits().data.astype("float32") / 16  # 1797 rows of 64 features, in [0, 1]
train, test = map(torch.from_numpy, train_test_split(x, test_size=0.25, random_state=0))


def fit(data: torch.Tensor, epochs: int) -> nn.Module:
    """An autoencoder with one hidden layer, from the same first weights every time."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 16), nn.Sigmoid(), nn.Linear(16, 64), nn.Sigmoid())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(epochs):
        for batch in data[torch.randperm(len(data))].split(64):
            optimizer.zero_grad()
            F.mse_loss(model(batch), batch).backward()
            optimizer.step()
    return model.eval()


def error(model: nn.Module) -> float:
    with torch.no_grad():
        return F.mse_loss(model(test), test).item()


original = fit(train, epochs=20)
# The model has no convolution: MINE sees random projections of the rows.
mine = uae.MINE(samples=uae.RandomSampling(count=16, dim=16))
attack = uae.MinMaxAttack.released(steps=30, alpha=0.2, mi=mine)
made = uae.augment(uae.losses.Reconstruction(original, squared=True), train, attack, seed=0)
print(f"{len(train)} rows attacked, success rate {made.is_uae.sum() / len(train):.3f}")

augmented = fit(made.x, epochs=20)
matched = fit(made.control, epochs=20)  # the same size, each UAE replaced by its original
for name, model in {"original": original, "with UAEs": augmented, "matched": matched}.items():
    print(f"test error, {name}: {error(model):.5f}")
