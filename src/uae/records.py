"""Records: one small JSON for each measured unit, the only thing that tables and figures read."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from uae import identity, storage
from uae.errors import BadFile, InputError, Unreadable

PACKAGES = ("torch", "numpy", "numba", "uae-repro")

# The meaning and unit of each metric. A metric that was measured at several bounds eps has the name
# <metric>@<eps>. <metric>_error is the standard error of a mean, over the samples.
METRICS = {
    "test_error": "mean squared reconstruction error per feature on the test set",
    "train_error": "mean squared reconstruction error per feature on the original training set",
    "asr": "attack success rate, in [0, 1]: training samples for which the attack found an iterate (Gaussian "
    "augmentation: whose noisy copy is one) with a loss no greater than the original's, or attacked test "
    "images that the classifier gets wrong",
    "epochs": "training epochs",
    "steps": "gradient steps",
    "n_train": "training samples before augmentation",
    "n_test": "test samples",
    "mi_mean": "mean mutual information of the successful examples, in nats",
    "step_mean": "mean attack step of the successful examples' kept iterates",
    "l2_mean": "mean Euclidean norm of the perturbation over the successful examples",
    "success_change": "median over the successful examples of the root-mean-square change of a feature, as a "
    "share of the data's range: a grey level is 0.0039; 0 without a success",
    "median_change": "the same over all samples of the UAE set, in records from before December 2026",
    "accuracy": "share of test samples classified correctly, in [0, 1]",
    "accuracy_one_hot": "the same for trees that were fitted to one-hot labels, as in the public code",
    "contrastive_loss": "mean NT-Xent over the test set in batches of the training's size, in nats",
    "linear_accuracy": "accuracy of a linear classifier on the encoder's features, test set, in [0, 1]",
    "linear_cross_entropy": "that classifier's mean cross-entropy on the test set, in nats",
    "knn_accuracy": "accuracy of weighted nearest neighbours on the encoder's features, test set, in [0, 1]",
    "width": "channels of the first stage of ResNet-18: 64 in full, fewer in a narrow one",
    "slope": "exponent of the power law fitted to Theorem 1's best ||L||^2 up to a step",
    "slope_falling": "exponent of a power law in T fitted to best_falling",
    "slope_frozen": "exponent of a power law in T fitted to best_frozen",
    "best_falling": "mean over samples of Theorem 1's best ||L||^2 in T steps (@T), with a step size and a "
    "critic's rate that fall with 1/sqrt(T)",
    "best_frozen": "the same with the critic frozen after a warm-up",
    "attack_steps": "attack steps, T",
    "features": "selected features",
    "certainty": "mean selection probability of the selected features; 1 if the selection is final",
    "distinct_features": "selected features that differ from one another",
    "n_attacked": "attacked samples; of a classifier, test images that it classifies correctly",
    "zero_gradients": "attacked samples, successes too, whose loss had no gradient at any iterate",
    "mi_late_gain": "mean rise of the best mutual information in the second half of the iterations, in nats",
    "mi_itself": "mean mutual information of originals with themselves, in nats",
    "n_common": "images on which this attack and MinMax with the same critic succeed",
    "mi_minmax_more": "mean by which MinMax's mutual information exceeds this attack's on them, in nats",
    "mi_minmax_more_often": "share of those images on which MinMax's is the larger, in [0, 1]",
    "mi_adv": "mean mutual information of originals with their examples, by the estimator of mi_itself",
    "mi_other": "mean mutual information of originals with another of them, by the same estimator",
    "prediction_changed": "share of successful examples that the classifier takes for another class",
    "loss_clean": "mean loss of the originals of the successful examples",
    "loss_adv": "mean loss of the successful examples",
    "compressed_samples": "K, the compressed samples that per-sample MINE sees",
    "compressed_size": "D, the numbers of each of them",
    "pairs": "pairs of samples for each mutual information that is known",
    "mi_estimate": "mean estimate of that mutual information (@nats), at an attack's last step",
    "mi_estimate_std": "standard deviation of that estimate over the pairs, in nats",
    "mi_estimate_half": "mean estimate over the same pairs after half of the attack's steps, in nats",
    "fid": "Frechet distance between the features of the examples and of the training images",
    "kid": "mean kernel distance (squared MMD) between the same, over subsets",
    "kid_std": "its standard deviation over subsets",
    "kid_subset": "samples of each subset",
    "frechet_lite0": "Frechet distance between the EfficientNet-Lite0 features of the examples and of "
    "training images: not FID, whose features are Inception's",
    "kernel_lite0": "mean kernel distance (squared MMD) between the same, over subsets of kid_subset samples",
    "kernel_lite0_std": "its standard deviation over subsets",
    "asr_low": "lower end of the attack success rate's 95 % interval (Wilson)",
    "asr_high": "upper end of the attack success rate's 95 % interval (Wilson)",
    "cross_entropy": "mean cross-entropy of the attacked images after the attack, in nats",
    "robust_accuracy": "accuracy times the share of attacked images that PGD with restarts leaves correct",
    "asr_single": "attack success rate of PGD from one start at the eps of the training",
    "asr_restarts": "attack success rate of PGD with restarts at the eps of the training",
    "asr_transfer": "success rate of PGD examples made on another model at the eps of the training, over the "
    "images that this model classifies correctly; none if there are none",
    "asr_unbounded": "attack success rate of PGD at an eps of 1",
    "flags": "signs of masked gradients or of a weak attack that were found",
    "flag_asr_falls": "1 if the success rate falls with eps beyond the intervals, else 0",
    "flag_loss_falls": "1 if the mean loss of attacked images falls with eps beyond the intervals, else 0",
    "flag_unbounded_fails": "1 if PGD at an eps of 1 leaves images that it does not reach, else 0",
    "flag_transfer_wins": "1 if another model's examples succeed more often than white-box PGD on the same "
    "images, else 0",
    "flag_restarts_matter": "1 if restarts find more than the interval of a single start allows, else 0",
}


def has_meaning(name: str) -> bool:
    """Whether METRICS has the metric, or the mean that it is the error of."""
    metric = name.partition("@")[0]
    return metric in METRICS or metric.removesuffix("_error") in METRICS


class Provenance(BaseModel):
    """Where one stage ran; kept in the metadata of what it wrote."""

    model_config = ConfigDict(extra="forbid")

    commit: str
    settings_hash: str
    packages: dict[str, str]
    python: str
    device: str
    seconds: float
    peak_memory_mib: float  # peak memory of the process or, if one is used, of the GPU


class Record(BaseModel):
    """A run and its measurements.

    curve: for a trained model, its method and the losses of some epochs, see `uae.curves`.
    file, inputs: see `uae.identity`. Records of the first version have none of these three.
    """

    model_config = ConfigDict(extra="forbid")

    experiment: str
    dataset: str
    variant: str
    title: str
    model: str
    method: str
    seed: int
    draw: int | None = None
    metrics: dict[str, float]
    settings: dict[str, Any]
    provenance: dict[str, Provenance]  # by stage: training, attack (if any), evaluation
    curve: dict[str, Any] | None = None
    file: str | None = None
    inputs: dict[str, dict[str, str | None]] | None = None

    def save(self, path: str | Path) -> None:
        if unknown := {name for name in self.metrics if not has_meaning(name)}:
            raise ValueError(f"{path}: metrics without a meaning in records.METRICS: {sorted(unknown)}")
        for name, value in self.metrics.items():
            if not math.isfinite(value):
                raise InputError(f"{path}: the metric {name} is {value}")
        content = self.model_dump(exclude={"curve"} if self.curve is None else None)
        content["file"] = identity.place(path)
        content["checksum"] = _checksum(content)
        text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False)
        storage.write_text(path, text + "\n")


def load(folder: str | Path) -> list[Record]:
    """Every record under a folder, in the order of their paths.

    Raises `InputError` if there are none, and `BadFile` naming a file that is not a record.
    """
    paths = sorted(Path(folder).rglob("*.json"))
    if not paths:
        raise InputError(f"{folder}: no records; run the experiments, or put the records there")
    return [read(path) for path in paths]


def read(path: Path) -> Record:
    """Read a record. Raises `BadFile` naming the file if it is damaged or was changed."""
    again = "; delete it to have it measured again" if identity.at_home(path) else ""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        expected = content.pop("checksum")
        record = Record.model_validate(content)
    except FileNotFoundError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise BadFile(f"{path}: not a record ({error!r}){again}") from None
    if expected != _checksum(content):
        raise BadFile(f"{path}: the content does not have its checksum{again}")
    identity.verify(path, content)
    run = f"{record.dataset}/{record.model}/{record.method}/seed{record.seed}"
    run += f"-draw{record.draw}.json" if record.draw is not None else ".json"
    if (place := identity.place(path)) and not place.endswith(f"/{run}"):
        raise BadFile(f"{path}: is the record of {run}{again}")
    return record


def jobs(loaded: Iterable[Record]) -> list[tuple[Record, str, Provenance]]:
    """The jobs behind records, each once: its first record, its stage, and its provenance.

    Records may share a job: the training of a classifier is behind those of all attacks on it.
    """
    found: dict[tuple[str | float, ...], tuple[Record, str, Provenance]] = {}
    for r in loaded:
        for stage, p in r.provenance.items():
            key = (r.dataset, r.model, stage, p.commit, p.settings_hash, p.device, p.seconds)
            found.setdefault(key, (r, stage, p))
    return list(found.values())


def field(path: Path, name: str) -> Any:
    """A field of a record, read without checks. None if it lacks the field, or if the file is no record."""
    try:
        return json.loads(path.read_text(encoding="utf-8")).get(name) if path.suffix == ".json" else None
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@functools.cache
def commit() -> str:
    """The git commit of the code, with `+changes` if code or configuration differ from it."""
    folder = Path(__file__).parent

    def git(*args: str) -> str:
        run = subprocess.run(["git", *args], cwd=folder, capture_output=True, text=True, check=False)
        return run.stdout.strip()

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        # Changes of records do not count: a run in a clean folder overwrites them.
        code = (f":/{name}" for name in ("src", "workflow", "config", "Snakefile"))
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *code)
        return head + "+changes" * bool(changed) if head else "unknown"
    except OSError:  # git is absent
        return "unknown"


def device_name(device: str) -> str:
    """The name that a record gives to the device `cpu` or `cuda`."""
    import torch  # not at the top: rendering reads records without torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """The versions of the packages that affect numbers, if installed: numba is an extra."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


class Clock:
    """A job's clock, made at its start. At its end, `provenance` returns the seconds.

    threads: for a job that resumes an interrupted one, PyTorch's threads in each process so far.
    """

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.threads: set[int] = set()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():  # by an earlier job of this process
            torch.cuda.reset_peak_memory_stats()
        commit()  # taken now, because a new commit may come while the job runs

    def provenance(self, settings: dict[str, Any], device: str) -> Provenance:
        if device.startswith("CPU"):
            if len(self.threads) > 1:
                device = f"CPU, {' and '.join(map(str, sorted(self.threads)))} threads"
            unit = 2**20 if sys.platform == "darwin" else 2**10
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        else:
            import torch

            peak = torch.cuda.max_memory_allocated() / 2**20
        return Provenance(
            commit=commit(),
            settings_hash=identity.hash_of(settings),
            packages=versions(),
            python=platform.python_version(),
            device=device,
            seconds=round(time.perf_counter() - self.start, 3),
            peak_memory_mib=round(peak, 1),
        )
