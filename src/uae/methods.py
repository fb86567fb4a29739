"""The meaning of a retraining method's name."""

from __future__ import annotations

import re

# A method names the samples that a retraining adds to the originals. `matched`: the originals again. A
# trailing `-2`: two rounds; the second adds UAEs of the model of the first (appendix H). `-to-clean`: a UAE's
# target is its original. `matched-best`: the control with the weights of the epoch with the lowest training
# loss. `ga-<sigma>`: with Gaussian noise; a sigma has one way to write it.
SIGMA = r"(0|[1-9]\d*)(\.\d*[1-9])?"
METHOD = re.compile(rf"(?P<base>ga-(?P<sigma>{SIGMA})|[a-z0-9.-]+?)(?P<again>-2)?(?P<clean>-to-clean)?")
CONTROLS = ("matched", "matched-2", "matched-best")


class Method:
    """The parts of a method's name."""

    def __init__(self, name: str):
        match = METHOD.fullmatch(name)
        self.name = name
        self.sigma = float(match["sigma"]) if match and match["sigma"] else None
        self.base = match["base"] if match else name
        self.rounds = 2 if match and match["again"] else 1
        self.clean_target = bool(match and match["clean"])

    @property
    def is_attack(self) -> bool:
        return self.sigma is None and self.base != "original" and self.name not in CONTROLS

    @property
    def attacks(self) -> list[str]:
        """The UAE sets that the retraining needs, one per round."""
        return [self.base + suffix for suffix in ("", "-2")[: self.rounds]] if self.is_attack else []

    @property
    def attacked(self) -> str:
        """The method of the model that is attacked: in a second round, the retrained model's."""
        return self.base if self.rounds == 2 else "original"
