"""`uae attack` and `uae augment`: the attack and the augmentation for the user's model and data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from uae.cli.common import OWN, Device, Out, app, bar, examples
from uae.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from uae.attacks import AttackResult
    from uae.augmentation import Augmented

ALMOST = 0.01  # a median change below this share of the original's norm is reported

Model = Annotated[
    str, typer.Option(help="Your model: module:callable (called without arguments) or module:model.")
]
Data = Annotated[
    Path, typer.Option(help="Samples: floats in [0, 1] or bytes, in an .npy, .npz or .safetensors file.")
]
Checkpoint = Annotated[Path | None, typer.Option(help="The model's weights, a safetensors file.")]
Array = Annotated[str, typer.Option(help="The samples' array, in a file that holds several.")]
Objective = Annotated[
    str,
    typer.Option(
        help="reconstruction (an autoencoder's error must not rise), contrastive (an encoder's loss must not "
        "rise) or margin (a classifier must miss the labels; MI is maximised)."
    ),
]
Labels = Annotated[str, typer.Option(help="The array of labels, for --objective margin.")]
Probabilities = Annotated[
    bool, typer.Option("--probabilities", help="Accept a classifier that returns probabilities, not logits.")
]
Copies = Annotated[int, typer.Option(help="Copies of a sample, for --objective contrastive.")]
Preset = Annotated[
    str,
    typer.Option(
        help="paper (the paper's settings) or released (the authors' code, which starts from noise and "
        "changes samples more)."
    ),
]
OnFailure = Annotated[
    str | None,
    typer.Option(
        help="What is returned for a failed sample: original (unchanged) or best (the iterate closest to "
        "success). Default: original; with --preset released, best."
    ),
]
Eps = Annotated[float, typer.Option(help="Bound on the change of each value.")]
Steps = Annotated[int, typer.Option(help="Attack steps, T.")]
Alpha = Annotated[float, typer.Option(help="Step size of the perturbation.")]
Beta = Annotated[float, typer.Option(help="Step size of the penalty's weight c.")]
Critic = Annotated[str, typer.Option(help="MINE's critic: vanilla or released.")]
InnerSteps = Annotated[int, typer.Option(help="Critic steps for each attack step.")]
Seed = Annotated[int, typer.Option(help="Seed of all random numbers.")]
Replicate = Annotated[
    bool,
    typer.Option("--replicate", help="Where the attack fails, add the original again, as the paper does."),
]


@app.command(
    rich_help_panel=OWN,
    epilog=examples(
        "uae attack --model mymodule:make --data images.npz --out uae.safetensors",
        "uae attack --model mymodule:make --checkpoint weights.safetensors --data images.npz "
        "--preset released --out uae.safetensors",
        "uae attack --model mymodule:encoder --objective contrastive --data images.npy --out uae.safetensors",
    ),
)
def attack(
    model: Model,
    data: Data,
    out: Out,
    checkpoint: Checkpoint = None,
    array: Array = "x",
    objective: Objective = "reconstruction",
    labels: Labels = "y",
    probabilities: Probabilities = False,
    copies: Copies = 50,
    preset: Preset = "paper",
    on_failure: OnFailure = None,
    eps: Eps = 1.0,
    steps: Steps = 40,
    alpha: Alpha = 0.01,
    beta: Beta = 0.1,
    critic: Critic = "vanilla",
    inner_steps: InnerSteps = 20,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Generate adversarial examples by MINE for your model and data.

    An interrupted run resumes when the command is repeated.
    """
    options = locals()
    from uae.stages.resume import written

    found = _attacked(**options)
    found.result.save(out)
    written(out)
    show(found.result, found.images, out, preset)


@app.command(
    rich_help_panel=OWN,
    epilog=examples(
        "uae augment --model mymodule:make --data images.npz --out augmented.safetensors",
        "uae augment --model mymodule:encoder --objective contrastive --data images.npy "
        "--preset released --out augmented.safetensors",
    ),
)
def augment(
    model: Model,
    data: Data,
    out: Out,
    checkpoint: Checkpoint = None,
    array: Array = "x",
    objective: Objective = "reconstruction",
    labels: Labels = "y",
    probabilities: Probabilities = False,
    copies: Copies = 50,
    preset: Preset = "paper",
    replicate: Replicate = False,
    eps: Eps = 1.0,
    steps: Steps = 40,
    alpha: Alpha = 0.01,
    beta: Beta = 0.1,
    critic: Critic = "vanilla",
    inner_steps: InnerSteps = 20,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Make a training set augmented with adversarial examples, and its compute-matched control.

    The file holds x (the originals, then the successful examples), control (the same set with each example
    replaced by its original), source (the original of each sample), is_uae, and y with --objective margin.
    Train one model on x and one on control, with the same settings: both take as many gradient steps.

    An interrupted run resumes when the command is repeated.
    """
    options = locals()
    from uae.augmentation import of_attack
    from uae.stages.resume import written

    del options["replicate"]
    found = _attacked(**options, on_failure="original")
    made = of_attack(found.images, found.result, replicate)
    made.save(out, **({} if found.labels is None else {"y": found.labels[made.source]}))
    written(out)
    show(found.result, found.images, out, preset, made)


@dataclass(frozen=True)
class Attacked:
    """The samples and the result. images: (N, *shape).  labels: (N,), or None if the objective uses none."""

    images: Tensor
    labels: Tensor | None
    result: AttackResult


def _attacked(
    *,
    model: str,
    data: Path,
    out: Path,
    checkpoint: Path | None,
    array: str,
    objective: str,
    labels: str,
    probabilities: bool,
    copies: int,
    preset: str,
    on_failure: str | None,
    critic: Any,  # MINE refuses what is no critic
    inner_steps: int,
    seed: int,
    device: str,
    **settings: Any,
) -> Attacked:
    """Run the attack that a command's options describe. The partial result is saved beside `out`."""
    from uae import MINE, MinMaxAttack, storage
    from uae.data import arrays
    from uae.stages import own, use

    presets: dict[str, Any] = {"paper": MinMaxAttack, "released": MinMaxAttack.released}
    if preset not in presets:
        raise InputError(f"--preset {preset!r} is not one of {', '.join(presets)}")
    use(device)
    own.check_out(out, data=data, checkpoint=checkpoint)
    images = arrays.load_images(data, array).to(device)
    network = own.load_model(model, checkpoint, device)
    own.try_model(model, network, images)
    known = arrays.load_labels(data, labels).to(device) if objective == "margin" else None
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
        run = presets[preset](
            **settings,
            **({} if on_failure is None else {"on_failure": on_failure}),
            mi=MINE(critic=critic, inner_steps=inner_steps),
            maximize_mi=objective == "margin",
        )
        options = own.resuming_own(out, network, objective, known, copies)
        with bar("attack") as progress, storage.permissions_of(out):
            result = run(
                loss,
                images,
                seed=seed,
                progress=lambda done, total: progress(done, total, "samples"),
                **options,
            )
    return Attacked(images, known, result)


def relative_change(result: AttackResult, images: Tensor) -> float:
    """The median, over the successes, of ||change|| / ||original||. NaN without a success."""
    x, adv = images[result.success].flatten(1), result.adv[result.success].flatten(1)
    return ((adv - x).norm(dim=1) / x.norm(dim=1)).nanmedian().item() if len(x) else float("nan")


def advice(result: AttackResult, images: Tensor, preset: str = "paper") -> list[str]:
    """Sentences on what the user may not expect of a result, with the option that changes it."""
    found, failed = [], ~result.success
    if relative_change(result, images) < ALMOST:
        change = "--alpha, --steps or --eps" if preset == "released" else "--preset released"
        found.append(
            f"The successes are almost their originals: the median change is below {100 * ALMOST:g} % of the "
            f"original's norm. To change samples more: {change}."
        )
    altered = int((failed & (result.adv != images).flatten(1).any(1)).sum())
    if altered:
        found.append(
            f"{altered} of {int(failed.sum())} failed samples are altered but are not examples. Use "
            "adv[success] alone, or return them unchanged: --on-failure original."
        )
    return found


def show(
    result: AttackResult, images: Tensor, out: Path, preset: str = "paper", made: Augmented | None = None
) -> None:
    """Print the summary of an attack. A failed display is not an error: the result is already written."""
    from rich.table import Table

    ok = result.success
    table = Table("what", "value", title=f"{len(result)} samples → {out}")
    table.add_row("attack success rate", f"{100 * result.success_rate:.2f} %")
    table.add_row("mean loss, original", f"{result.loss_clean.mean().item():.5f}")
    table.add_row("mean loss, adversarial", f"{result.loss.mean().item():.5f}")
    if result.eligible is not None and not result.eligible.all():
        table.add_row("samples misclassified without an attack", str(int((~result.eligible).sum())))
    if ok.any():
        norms = (result.adv - images).flatten(1).norm(dim=1)[ok]
        table.add_row("mean MI of the successes", f"{result.mi[ok].mean().item():.5f} nats")
        table.add_row("mean ‖δ‖₂ of the successes", f"{norms.mean().item():.5f}")
        table.add_row("median ‖δ‖₂ / ‖x‖₂ of the successes", f"{100 * relative_change(result, images):.3g} %")
    lines = advice(result, images, preset)
    if made is not None:
        added = int(made.is_uae.sum())
        table.add_row("samples in the augmented set, and in its control", str(len(made.x)))
        table.add_row("of these, adversarial examples", str(added))
        if not added:
            lines.append("The attack never succeeded, so the set holds only the originals.")
    console = Console()
    console.print(table)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
