"""The paper's experiments in ten minutes of one GPU.

    make gpu                              # all of it: tests, speed, benchmarks/gpu.yaml in its order
    make gpu-pack                         # data, and what is done already, in a folder that travels
    python benchmarks/gpu.py --minutes 4 --skip tests speed

Needs one CUDA device, PyTorch 2.11 or later and no network. A run asks Snakemake for records by their paths,
as many jobs on the device at a time as --jobs says, and takes the next entry of the list where it has time
left. A record that was there before the first call is not measured again. What is done is kept: the same
command goes on, also in a copy of the project with its `gpu-pack`. After each entry the summary and the
archives in --out are written anew, so that a run that is killed leaves what it has. Summary and archives have
what was made since the first call; each archive takes 16 MiB of files at most, in the list's order.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import gpu_pack

ROOT = Path(__file__).parents[1]
LIST = ROOT / "benchmarks" / "gpu.yaml"
MOST_FILE = 16 * 2**20  # bytes of the files of an archive that comes back
TESTS = [
    "tests/unit/mine/engines/test_triton.py",
    "tests/unit/training/test_graphs.py",
    "tests/unit/mine/test_parity.py",
    "tests/unit/attacks/test_attack_gpu.py",
    "tests/unit/test_memory.py",
]
PACK_METADATA = """
import sys
from pathlib import Path
from uae import metadata
results = Path(sys.argv[1])
metadata.pack(Path(".snakemake/metadata"), results / "metadata.json.gz", results.name)
"""
TO_STOP = 20  # seconds that a run has to stop in


def entries(path: Path) -> list[dict[str, Any]]:
    """The list, each entry whole."""
    import yaml  # on a bare machine from the pack, once `Run` has installed it

    known = {"name", "rows", "methods", "seeds", "experiment", "settings", "data"}
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    for entry in read:
        if unknown := sorted(set(entry) - known):
            name = entry.get("name")
            sys.exit(f"{path}: {name!r} has the unknown key {unknown[0]}; known: {', '.join(sorted(known))}")
    return [{"seeds": [0], "experiment": "reconstruction", "settings": {}, "data": []} | e for e in read]


def records(entry: dict[str, Any]) -> list[str]:
    """The paths of an entry's records below results/<scale>."""
    return [
        f"records/{entry['experiment']}/{row}/{method}/seed{seed}{'-draw0' * method.startswith('ga-')}.json"
        for row in entry["rows"]
        for seed in entry["seeds"]
        for method in entry["methods"]
    ]


def settings(entry: dict[str, Any]) -> dict[str, Any]:
    """What an entry changes of the scale: its rows, methods and seeds."""
    out: dict[str, Any] = {"only": ",".join(entry["rows"]), "seeds": entry["seeds"], "gaussian_draws": 1}
    for dataset, model in (row.split("/") for row in entry["rows"]):
        if entry["experiment"] == "robustness":
            block = out.setdefault("robustness", {"seeds": entry["seeds"]})
            if "original" in entry["methods"]:  # else they are attacks
                block.setdefault("models", {}).setdefault(dataset, {})[model] = {"methods": entry["methods"]}
        else:
            methods = [method for method in entry["methods"] if method != "original"]
            block = out.setdefault("reconstruction", {}).setdefault(dataset, {})
            row = {"methods": methods, "also": [], "seeds": entry["seeds"]}
            block.setdefault("models", {})[model] = row
    return _merged(out, entry["settings"])


# As uae.config.merge, which needs pydantic: this program starts where the pack alone may have it.
def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {
        k: _merged(base[k], v)
        for k, v in over.items()
        if isinstance(v, dict) and isinstance(base.get(k), dict)
    }
    return base | over | both


class Run:
    """One call of this program: where it writes, and how long it may take."""

    def __init__(self, given: argparse.Namespace):
        self.given, self.out, self.start = given, given.out.resolve(), time.monotonic()
        self.out.mkdir(parents=True, exist_ok=True)
        began = self.out / "began"  # the time of the first call, for the calls that go on
        if not began.exists():
            began.touch()
        self.began = began.stat().st_mtime
        self.results = ROOT / "results" / Path(given.scale).stem
        self.environment = gpu_pack.environment(given.pack)
        sys.path.append(str(given.pack / "site"))
        gpu_pack.restore(given.pack, self.results)
        self.done: list[dict[str, Any]] = []

    def left(self) -> float:
        return 60 * self.given.minutes - (time.monotonic() - self.start)

    def made(self, path: Path) -> bool:
        """Whether a file was made here: a checkout's and a pack's are older than the first call."""
        return path.is_file() and path.stat().st_mtime >= self.began

    def call(self, name: str, command: list[str], log: str, share: float = 1.0) -> str:
        """Run a command with a log in --out, for a share of all time at most; how it ended."""
        start = time.monotonic()
        seconds = min(share * 60 * self.given.minutes, self.left() - TO_STOP)
        if seconds <= 0:
            ended = "no time left"
        else:
            with (self.out / log).open("a") as file:
                process = subprocess.Popen(
                    command, cwd=ROOT, env=self.environment, stdout=file, stderr=file, start_new_session=True
                )
                ended = _wait(process, seconds)
        took = round(time.monotonic() - start, 1)
        self.done.append({"what": name, "ended": ended, "seconds": took})
        print(f"{name}: {ended}, {took:.0f} s", flush=True)
        return ended

    def tests(self) -> None:
        # Kernels for other GPUs compile for minutes, and on any machine.
        command = [sys.executable, "-m", "pytest", "-q", "-k", "not compile", *self.given.tests]
        self.call("GPU tests", command, "tests.log", share=0.2)

    def speed(self) -> None:
        """The attack's time and its share of the roofline, as benchmarks/uae_generation.py measures them."""
        command = [sys.executable, "benchmarks/uae_generation.py", "--device", self.given.device]
        command += ["--samples", str(self.given.samples), "--repeats", "2", "--attack-only"]
        self.call("speed", command, "speed.log", share=0.2)

    def entry(self, number: int, entry: dict[str, Any]) -> None:
        import yaml

        given, all_of_it = self.given, {path: self.results / path for path in records(entry)}
        wanted = [path for path, file in all_of_it.items() if not file.exists() or self.made(file)]
        if not wanted:
            self.done.append({"what": entry["name"], "ended": "there already", "seconds": 0.0})
            return
        file = self.out / f"{number}.yaml"
        file.write_text(yaml.safe_dump(settings(entry), sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--cores", str(given.cores)]
        command += ["--resources", f"gpu={given.jobs}", "--keep-going", "--nolock", "--configfile", str(file)]
        command += [
            "--config",
            f"scale={given.scale}",
            f"device={given.device}",
            "records=live",
            f"gpu_share={given.jobs}",
        ]
        if given.pack.is_dir():
            command.append(f"data_mirror={given.pack / 'mirror'}")
        # Data first: what was made from them elsewhere would be made again, were they made in the same run.
        data = [f"data/prepared/{name}.safetensors" for name in entry["data"]]
        if not all((ROOT / path).exists() for path in data):
            self.call(f"{entry['name']}: data", [*command, "--", *data], f"{number}.log")
        targets = [str((self.results / path).relative_to(ROOT)) for path in wanted]
        ended = self.call(entry["name"], [*command, "--", *targets], f"{number}.log")
        there = [path for path in wanted if (self.results / path).exists()]
        self.done[-1] |= {"records": len(there), "of": len(wanted)}
        if ended != "done":  # a run that ends well packs its metadata itself
            pack = [sys.executable, "-c", PACK_METADATA, str(self.results)]
            subprocess.run(pack, cwd=ROOT, env=self.environment, check=False)

    def summary(self, wanted: list[str]) -> None:
        """summary.json, summary.md, and the archives of what was made."""
        rows = _rows(self.results, [path for path in wanted if self.made(self.results / path)])
        order = {_run(Path(path)): number for number, path in reversed(list(enumerate(wanted)))}
        left = []
        for kind in ("records", "checkpoints", "uae"):
            files = [path for path in (self.results / kind).rglob("*") if self.made(path)]
            files.sort(key=lambda path: (order.get(_run(path), len(wanted)), path))
            if kind == "records" and self.made(metadata := self.results / "metadata.json.gz"):
                files.insert(0, metadata)
            left += _archive(self.out / f"{kind}.tar.gz", files)
        _archive(self.out / "logs.tar.gz", sorted(self.out.glob("*.log")))
        speed = _json(self.out / "speed.log")
        text = json.dumps({"steps": self.done, "speed": speed, "left out": left, "records": rows}, indent=1)
        (self.out / "summary.json").write_text(text + "\n", encoding="utf-8")
        (self.out / "summary.md").write_text(_markdown(self.done, rows, speed, left), encoding="utf-8")


def _run(path: Path) -> str:
    """The run that a file is of, such as mnist/dense/matched/seed0: of its record, checkpoint and UAE set."""
    return "/".join(path.with_suffix("").parts[-4:])


def _rows(results: Path, wanted: list[str]) -> list[dict[str, Any]]:
    """What the records say. seconds: of the jobs behind a record that are behind no earlier one."""
    rows, jobs = [], set()  # as uae.records.jobs, which needs pydantic
    for path in dict.fromkeys(wanted):
        if (results / path).exists():
            record = json.loads((results / path).read_text(encoding="utf-8"))
            taken = 0.0
            for stage, made in record["provenance"].items():
                job = json.dumps([record["dataset"], record["model"], stage, made], sort_keys=True)
                taken += 0.0 if job in jobs else made["seconds"]
                jobs.add(job)
            rows.append({"record": path, "seconds": round(taken, 1), "metrics": record["metrics"]})
    return rows


def _wait(process: subprocess.Popen, seconds: float) -> str:
    """How a process ended; one that takes too long is asked to stop, with all that it started."""
    try:
        return "done" if process.wait(seconds) == 0 else f"failed ({process.returncode})"
    except subprocess.TimeoutExpired:
        for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            os.killpg(process.pid, sent)
            try:
                process.wait(TO_STOP / 4)
                break
            except subprocess.TimeoutExpired:
                continue
        return "stopped, out of time"


def _json(log: Path) -> Any:
    """The JSON at the end of a log; None where there is none."""
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    try:
        return json.loads(text[text.index("{\n") :])
    except ValueError:
        return None


def _markdown(steps: list[dict[str, Any]], rows: list[dict[str, Any]], speed: Any, left: list[str]) -> str:
    lines = ["| step | ended | seconds | records |", "|---|---|---|---|"]
    for s in steps:
        count = f"{s['records']} of {s['of']}" if "of" in s else ""
        lines.append(f"| {s['what']} | {s['ended']} | {s['seconds']} | {count} |")
    if speed:
        attack = speed["attack"]
        lines += [
            "",
            f"{speed['case']}: {attack['milliseconds_per_image']['fast']:.3g} ms an image, "
            f"{1 / attack['ratio_to_limit']:.0%} of the critic's limit ({speed['machine']['device']}).",
        ]
    lines += ["", "| record | test error | success rate | seconds |", "|---|---|---|---|"]
    for row in rows:
        error, rate = (row["metrics"].get(key) for key in ("test_error", "asr"))
        cells = [row["record"], *("" if v is None else f"{v:.4g}" for v in (error, rate)), row["seconds"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    if left:
        lines += [
            "",
            "These files do not fit into the archives. Delete older ones at home, of which the records",
        ]
        lines += ["were not made:", "", *(f"- {name}" for name in left)]
    return "\n".join(lines) + "\n"


def _archive(target: Path, files: list[Path]) -> list[str]:
    """A .tar.gz of files with their paths below the project, as many as fit; the paths of the others."""
    part, size, left = target.with_suffix(".part"), 0, []
    with tarfile.open(part, "w:gz", compresslevel=3) as archive:
        for path in files:
            name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else Path(path.name)
            if size + path.stat().st_size > MOST_FILE:
                left.append(name.as_posix())
                continue
            size += path.stat().st_size
            archive.add(path, name)
    part.replace(target)
    if left:
        print(f"{target.name}: {len(left)} of {len(files)} files do not fit into {MOST_FILE // 2**20} MiB")
    return left


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="in all")
    parser.add_argument("--scale", default="paper")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--jobs", type=int, default=8, help="on the device at a time")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    parser.add_argument("--list", type=Path, default=LIST)
    parser.add_argument("--tests", nargs="*", default=TESTS, help="test files")
    parser.add_argument("--samples", type=int, default=4096, help="images whose attack is timed")
    parser.add_argument("--skip", nargs="*", default=[], help="tests, speed, or numbers of the list, from 1")
    parser.add_argument("--out", type=Path, default=ROOT / "gpu-results")
    parser.add_argument("--pack", type=Path, default=gpu_pack.PACK)
    given = parser.parse_args()
    given.pack = given.pack.resolve()
    run, listed = Run(given), entries(given.list)
    wanted = [path for entry in listed for path in records(entry)]
    for name in ("tests", "speed"):
        if name not in given.skip:
            getattr(run, name)()
            run.summary(wanted)
    for number, entry in enumerate(listed, 1):
        if str(number) not in given.skip:
            run.entry(number, entry)
            run.summary(wanted)
    print((run.out / "summary.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
