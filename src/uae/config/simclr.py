"""SimCLR (section 5.6 and appendix I): pre-training, UAEs, linear evaluation and PGD on it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from uae.config.blocks import Block
from uae.config.values import (
    Count,
    CountFromZero,
    Flag,
    KnownData,
    Name,
    NotNegative,
    Numbers,
    Positive,
    Several,
    Unique,
)


class ContrastiveAttack(Block):
    """The settings that the MinMax attack on SimCLR adds to the scale's `attack`."""

    steps: Count
    decay_power: NotNegative
    copies: Several
    views: Several
    amp: Flag  # bfloat16 on GPUs: losses then agree to two digits only


class LinearEvaluation(Block):
    lr: Positive
    batch_size: Count
    epochs: Count


class PGDCurve(Block):
    """Figure 10 (b): success rates of PGD against the linear classifier over eps."""

    eps: Numbers
    images: Count  # correctly classified test images
    steps: Count
    step_size: Positive


class Contrastive(Block):
    dataset: Name  # in the paper, and in the records
    data: KnownData
    train_limit: Count | None = None
    width: Annotated[Count, Field(ge=8, multiple_of=8)]  # of the ResNet-18: 64 in full width
    temperature: Positive
    lr: Positive  # learning rate of LARS, for 256 images
    batch_size: Several
    warmup: CountFromZero
    epochs: Count
    retrain_epochs: Count
    compile: Flag  # by torch.compile, where it runs on a GPU
    methods: Annotated[list[Literal["mine-uae", "mine-uae-released", "matched"]], Unique]
    attack: ContrastiveAttack
    linear: LinearEvaluation
    neighbours: Count
    pgd: PGDCurve

    @model_validator(mode="after")
    def _warmup(self) -> Contrastive:
        shortest = min(self.epochs, self.retrain_epochs)
        if self.warmup >= shortest:
            raise ValueError(f"warmup: {self.warmup} epochs, must be fewer than the {shortest} epochs")
        return self

    # The settings of each job

    def training(self, method: str) -> dict[str, Any]:
        return {
            "network": "simclr",
            "training": "simclr",
            "arguments": {"width": self.width},
            "epochs": self.epochs if method == "original" else self.retrain_epochs,
            "compile": self.compile,
            "drop_last": True,
            **self.model_dump(include={"lr", "batch_size", "warmup", "temperature"}),
        }

    def attacking(self, base: dict[str, Any]) -> dict[str, Any]:
        """`base`: the settings of the attack on any model with a convolution (`Config.attacking`)."""
        own = self.attack.model_dump()
        loss = {key: own.pop(key) for key in ("copies", "views", "amp")}
        return base | {"attack": base["attack"] | own, "loss": loss | {"temperature": self.temperature}}

    def measuring(self) -> dict[str, Any]:
        return self.model_dump(include={"batch_size", "temperature", "linear", "neighbours", "pgd"})
