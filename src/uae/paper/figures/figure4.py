"""Figure 4: examples of both ways to sample, within a small bound (eps = 0.03, appendix B.1)."""

from __future__ import annotations

from uae.paper.figures import TWO_COLUMNS
from uae.paper.images import examples as draw

__all__ = ["WIDTH", "draw"]

WIDTH = TWO_COLUMNS
