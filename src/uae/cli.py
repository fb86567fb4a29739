"""The command `uae`. Heavy modules are imported by the commands that need them."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from uae.cli_verify import verify
from uae.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Unsupervised adversarial examples: the stages of the reproduction, and the method.",
)
app.command()(verify)
console = Console(stderr=True)

Settings = Annotated[str, typer.Option(help="The job's settings as JSON, from uae.config.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Out = Annotated[Path, typer.Option(help="The file to write.")]
Data = Annotated[Path, typer.Option(help="Prepared data, a safetensors file.")]


@contextmanager
def _bar(title: str) -> Iterator[Any]:
    """A progress bar on a terminal, a line a quarter in a log file."""
    if not console.is_terminal:
        quarters = set()

        def log(done: int, total: int, note: str) -> None:
            if (quarter := 4 * done // total) not in quarters or done == total:
                quarters.add(quarter)
                console.print(f"{title}: {done}/{total} {note}")

        yield log
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as progress:
        task = progress.add_task(title, total=None, note="")
        yield lambda done, total, note: progress.update(task, completed=done, total=total, note=note)


@app.command()
def fetch(
    data: Annotated[str, typer.Argument(help="A data set of the catalogue.")],
    name: Annotated[str, typer.Argument(help="One of its files.")],
    out: Out,
    mirror: Annotated[
        str | None, typer.Option(envvar="UAE_DATA_MIRROR", help="Folder or URL that is tried first.")
    ] = None,
) -> None:
    """Download one raw file, from the mirror or from upstream, and check it."""
    from uae.data import fetch as fetching

    fetching.fetch(data, name, out, mirror)


@app.command()
def prepare(
    data: Annotated[str, typer.Argument(help="A data name: mnist, mnist@10000, mnist-5k, …")],
    out: Out,
    raw: Annotated[Path, typer.Option(help="The folder of raw files.")] = Path("data/raw"),
) -> None:
    """Turn the raw files of a data set into one checked safetensors file."""
    from uae.data import catalogue, prepared

    prepared.prepare(data, raw / catalogue.folder(data), out)


@app.command()
def train(
    data: Data,
    out: Out,
    settings: Settings,
    method: Annotated[str, typer.Option(help="original, mine-uae, l2-uae, ga-<sigma> or matched.")],
    seed: int = 0,
    sigma: Annotated[float | None, typer.Option(help="Gaussian augmentation's noise.")] = None,
    draw: Annotated[int | None, typer.Option(help="Number of the Gaussian draw.")] = None,
    uae: Annotated[Path | None, typer.Option(help="UAE set to augment with.")] = None,
    device: Device = "cpu",
) -> None:
    """Train an autoencoder, on the originals or on an augmented set."""
    from uae.stages import train as stage

    with _bar(f"train {method}") as progress:
        stage.train(
            data,
            out,
            settings=json.loads(settings),
            method=method,
            seed=seed,
            sigma=sigma,
            draw=draw,
            uae=uae,
            device=device,
            progress=progress,
        )


@app.command()
def generate(
    data: Data,
    checkpoint: Annotated[Path, typer.Option(help="The attacked model.")],
    out: Out,
    settings: Settings,
    seed: int = 0,
    device: Device = "cpu",
) -> None:
    """Attack every training sample and write the UAE set."""
    from uae.stages import generate as stage

    with _bar("attack") as progress:
        stage.generate(
            data, checkpoint, out, settings=json.loads(settings), seed=seed, device=device, progress=progress
        )


@app.command()
def evaluate(
    checkpoints: Annotated[list[Path], typer.Argument(help="The original first.")],
    data: Data,
    dataset: Annotated[str, typer.Option(help="The paper's data set that the data stand for.")],
    model: Annotated[str, typer.Option(help="The model's name in the records.")],
    records: Annotated[Path, typer.Option(help="The folder to write the records to.")],
    uae: Annotated[list[str] | None, typer.Option(help="A UAE set as method=path.")] = None,
    device: Device = "cpu",
) -> None:
    """Measure the checkpoints of one data set, model and seed: a record each."""
    from uae.stages import evaluate as stage

    sets = {method: Path(path) for method, _, path in (item.partition("=") for item in uae or [])}
    stage.evaluate(data, checkpoints, records, uaes=sets, dataset=dataset, model=model, device=device)


@app.command()
def examples(
    data: Data,
    checkpoint: Annotated[Path, typer.Option(help="The attacked model.")],
    uae: Annotated[Path, typer.Option(help="Its UAE set.")],
    method: Annotated[str, typer.Option(help="The method that made the set.")],
    out: Out,
) -> None:
    """Pick the images of Figure 5: the successful UAEs with the largest perturbation."""
    from uae.stages import evaluate as stage

    stage.examples(data, checkpoint, uae, out, method=method)


@app.command()
def render(
    what: Annotated[str, typer.Argument(help="table4, table8 or figure5.")],
    inputs: Annotated[list[Path], typer.Argument(help="A folder of records, or a figure's files.")],
    out: Annotated[Path, typer.Option(help="The folder to write to.")],
) -> None:
    """Render a table or a figure in all its formats."""
    from uae.paper import render as rendering

    rendering.render(what, inputs, out)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="The scale's folder: its records and figures.")],
    out: Out,
    scale: str = "preview",
) -> None:
    """Write the report: one self-contained page."""
    from uae.paper import report as reporting

    reporting.write(results, out, scale)


@app.command()
def attack(
    model: Annotated[str, typer.Option(help="Your autoencoder, as module:callable without arguments.")],
    data: Annotated[Path, typer.Option(help="Samples in [0, 1], or bytes: .npy, .npz or .safetensors.")],
    out: Out,
    checkpoint: Annotated[Path | None, typer.Option(help="Its weights, a safetensors file.")] = None,
    array: Annotated[str, typer.Option(help="The array of a file that holds several.")] = "x",
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
    """Generate MINE-UAEs for an autoencoder and data of your own."""
    from rich.table import Table

    from uae import MINE, MinMaxAttack, losses
    from uae.stages import own, use

    presets = {"paper": MinMaxAttack, "released": MinMaxAttack.released}
    if preset not in presets:
        raise InputError(f"--preset {preset!r} is none of {', '.join(presets)}")
    use(device)
    loss = losses.Reconstruction(own.load_model(model, checkpoint, device), squared=preset == "released")
    images = own.load_images(data, array).to(device)
    try:
        settings = presets[preset](
            eps=eps, steps=steps, alpha=alpha, beta=beta, mi=MINE(critic=critic, inner_steps=inner_steps)
        )
        with _bar("attack") as progress:
            result = settings(
                loss, images, seed=seed, progress=lambda done, total: progress(done, total, "samples")
            )
    except ValueError as error:  # of the attack: it names the sample or the setting
        raise InputError(str(error)) from error
    result.save(out)
    ok = result.success
    table = Table("what", "value", title=f"{len(result)} samples → {out}")
    table.add_row("attack success rate", f"{100 * result.success_rate:.2f} %")
    table.add_row("mean loss, original", f"{result.loss_clean.mean().item():.5f}")
    table.add_row("mean loss, UAE", f"{result.loss.mean().item():.5f}")
    if ok.any():
        norms = (result.adv - images).flatten(1).norm(dim=1)[ok]
        table.add_row("mean MI of the successes", f"{result.mi[ok].mean().item():.5f} nats")
        table.add_row("mean ‖δ‖₂ of the successes", f"{norms.mean().item():.5f}")
    Console().print(table)


@app.command()
def config(scale: str = "preview") -> None:
    """Print the configuration of a scale, checked."""
    from uae import config as configuration

    base = configuration.read_yaml(configuration.ROOT / "config" / "config.yaml")
    print(configuration.load(base | {"scale": scale}).model_dump_json(indent=2))


def main() -> None:
    logging.basicConfig(level="WARNING", format="%(message)s", handlers=[RichHandler(console=console)])
    try:
        app(standalone_mode=True)
    except (InputError, OSError) as error:
        console.print("error:", style="bold red", end=" ")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
