"""What the workflow itself costs, as JSON.

    python benchmarks/workflow.py --cores 2               # all of it, preview included
    python benchmarks/workflow.py --cores 2 --no-preview  # seconds: rendering, and a run with nothing to do

Everything runs in a fresh copy of the files that git tracks, so neither earlier results nor this
repository's are touched. Seconds are of the clock; where the preview's go is read from its rules'
benchmark files, in seconds of each rule's jobs, which run side by side.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def copy(target: Path) -> None:
    """The files that git tracks, as they are now."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # not one that was deleted
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def snakemake(folder: Path, cores: int, *arguments: str) -> tuple[float, str]:
    """Seconds, and what was said. Raises CalledProcessError after showing why."""
    command = [sys.executable, "-m", "snakemake", *arguments, "--cores", str(cores), "--resources", "gpu=1"]
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    taken = time.perf_counter() - start
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()
    return taken, done.stdout + done.stderr


def noop(folder: Path, cores: int, *arguments: str) -> float:
    """The best of three runs that find nothing to do."""
    runs = [snakemake(folder, cores, *arguments) for _ in range(3)]
    for _, said in runs:
        if "Nothing to be done" not in said:
            raise RuntimeError(f"a run after a finished one did something:\n{said}")
    return min(taken for taken, _ in runs)


def jobs(folder: Path) -> dict:
    """Seconds and number of jobs of each rule, longest first, and their longest job."""
    found = defaultdict(list)
    for path in sorted((folder / "benchmarks" / "jobs").rglob("*.tsv")):
        parts = path.relative_to(folder / "benchmarks" / "jobs").with_suffix("").parts
        rule = next((part for part in parts if part in ("download", "prepare", "make", "render")), "?")
        rule = "/".join(parts[1:]) if rule == "make" else rule
        with path.open() as file:
            found[rule] += [float(row["s"]) for row in csv.DictReader(file, delimiter="\t")]
    ordered = sorted(found.items(), key=lambda item: -sum(item[1]))
    return {
        rule: {"seconds": round(sum(taken), 1), "jobs": len(taken), "longest": round(max(taken), 1)}
        for rule, taken in ordered
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--no-preview", dest="preview", action="store_false")
    arguments = parser.parse_args()
    frozen = ("figures", "tables", "--config", "scale=paper", "records=frozen")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy(folder)
        report = {"machine": platform.processor() or platform.machine(), "cores": arguments.cores}
        report["load_average_before"] = os.getloadavg()[0]
        for kind in ("tables", "figures"):  # from the committed records, all of them anew
            shutil.rmtree(folder / "results" / "paper" / kind, ignore_errors=True)
        report["render_seconds"] = snakemake(folder, arguments.cores, *frozen)[0]
        report["noop_seconds_frozen"] = noop(folder, arguments.cores, *frozen)
        if arguments.preview:
            report["preview_seconds"] = snakemake(folder, arguments.cores)[0]
            report["noop_seconds"] = noop(folder, arguments.cores)
            report["preview_seconds_by_rule"] = jobs(folder)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
