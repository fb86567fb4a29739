"""The attack on a model and data of one's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from uae.cli.common import USERS, Device, Out, app, bar
from uae.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from uae.attacks import AttackResult


@app.command(rich_help_panel=USERS)
def attack(
    model: Annotated[
        str, typer.Option(help="Your model, as module:callable without arguments, or as module:model.")
    ],
    data: Annotated[Path, typer.Option(help="Samples in [0, 1], or bytes: .npy, .npz or .safetensors.")],
    out: Out,
    checkpoint: Annotated[Path | None, typer.Option(help="Its weights, a safetensors file.")] = None,
    array: Annotated[str, typer.Option(help="The array of a file that holds several.")] = "x",
    objective: Annotated[
        str,
        typer.Option(
            help="What the attack keeps: reconstruction (of an autoencoder), margin (a classifier misses the "
            "labels, MI is maximised) or contrastive (of an encoder)."
        ),
    ] = "reconstruction",
    labels: Annotated[str, typer.Option(help="The array of labels, for the margin.")] = "y",
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="The margin is of probabilities on purpose, not of logits."),
    ] = False,
    copies: Annotated[int, typer.Option(help="Copies of a sample, for the contrastive loss.")] = 50,
    preset: Annotated[str, typer.Option(help="paper (its words) or released (the authors' code).")] = "paper",
    eps: Annotated[float, typer.Option(help="Bound on the change of each value.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Attack steps, T.")] = 40,
    alpha: Annotated[float, typer.Option(help="Step size.")] = 0.01,
    beta: Annotated[float, typer.Option(help="Step size of c.")] = 0.1,
    critic: Annotated[str, typer.Option(help="vanilla or released.")] = "vanilla",
    inner_steps: Annotated[int, typer.Option(help="Critic steps for each attack step.")] = 20,
    seed: int = 0,
    device: Device = "cpu",
) -> None:
    """Generate adversarial examples by MINE for a model and data of your own.

    A run that was killed goes on where it was when started again.
    """
    from uae import MINE, MinMaxAttack
    from uae.stages import own, use
    from uae.stages.resume import written

    presets = {"paper": MinMaxAttack, "released": MinMaxAttack.released}
    if preset not in presets:
        raise InputError(f"--preset {preset!r} is none of {', '.join(presets)}")
    use(device)
    own.check_out(out, data=data, checkpoint=checkpoint)
    if out.exists():  # what is kept until it is replaced is as private as it is
        os.umask(os.umask(0) | ~out.stat().st_mode & 0o777)
    images = own.load_images(data, array).to(device)
    network = own.load_model(model, checkpoint, device)
    own.try_model(model, network, images)
    known = own.load_labels(data, labels).to(device) if objective == "margin" else None
    with own.users_code(f"--model {model!r}"):
        loss = own.objective(
            objective,
            network,
            squared=preset == "released",
            labels=known,
            logits=not probabilities,
            copies=copies,
            seed=seed,
        )
        settings = presets[preset](
            eps=eps,
            steps=steps,
            alpha=alpha,
            beta=beta,
            mi=MINE(critic=critic, inner_steps=inner_steps),
            maximize_mi=objective == "margin",
        )
        options = own.resuming_own(out, network, objective, known, copies)
        with bar("attack") as progress:
            result = settings(
                loss,
                images,
                seed=seed,
                progress=lambda done, total: progress(done, total, "samples"),
                **options,
            )
    result.save(out)
    written(out)
    show(result, images, out)


def show(result: AttackResult, images: Tensor, out: Path) -> None:
    """Print what an attack has found. The result is there: that no one can read it is no failure."""
    from rich.table import Table

    ok = result.success
    table = Table("what", "value", title=f"{len(result)} samples → {out}")
    table.add_row("attack success rate", f"{100 * result.success_rate:.2f} %")
    table.add_row("mean loss, original", f"{result.loss_clean.mean().item():.5f}")
    table.add_row("mean loss, adversarial", f"{result.loss.mean().item():.5f}")
    if result.eligible is not None and not result.eligible.all():
        table.add_row("samples that are wrong without any attack", str(int((~result.eligible).sum())))
    if ok.any():
        norms = (result.adv - images).flatten(1).norm(dim=1)[ok]
        table.add_row("mean MI of the successes", f"{result.mi[ok].mean().item():.5f} nats")
        table.add_row("mean ‖δ‖₂ of the successes", f"{norms.mean().item():.5f}")
    try:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # of a terminal that has no δ
        Console().print(table)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError, SystemExit):  # closed, or full; rich ends the process over a broken pipe
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)  # or Python fails at its end, when it flushes what is left
