"""Weighted k-nearest-neighbour classification of features (Wu et al. 2018, section 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

QUERIES = 1000


@torch.no_grad()
def predict(
    x: Tensor, bank: Tensor, labels: Tensor, *, k: int = 200, temperature: float = 0.5, classes: int
) -> Tensor:
    """The classes (N,) of features x (N, d), from the k most similar of a bank (M, d) with labels (M,).

    A neighbour of cosine similarity s votes for its label with the weight exp(s / temperature). Wu et al.
    use k = 200 and the temperature 0.07. 0.5 is NT-Xent's temperature, the usual choice of public SimCLR
    code for CIFAR-10.
    Raises ValueError if the bank has fewer than k samples.
    """
    if not 1 <= k <= len(bank):
        raise ValueError(f"k = {k} neighbours of {len(bank)} samples: need 1 <= k <= {len(bank)}")
    x, bank = F.normalize(x, dim=1), F.normalize(bank, dim=1)
    out = []
    for part in x.split(QUERIES):
        similarity, rows = (part @ bank.T).topk(k, dim=1)
        votes = part.new_zeros(len(part), classes)
        votes.scatter_add_(1, labels[rows], (similarity / temperature).exp())
        out.append(votes.argmax(1))
    return torch.cat(out)
