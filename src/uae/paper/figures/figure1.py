"""Figure 1: examples of both ways to sample, without a bound on the perturbation (eps = 1)."""

from __future__ import annotations

from uae.paper.figures import TWO_COLUMNS
from uae.paper.images import examples as draw

__all__ = ["WIDTH", "draw"]

WIDTH = TWO_COLUMNS
