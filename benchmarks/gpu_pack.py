"""What a run of benchmarks/gpu.py needs beside the checkout, in a folder that travels.

    make gpu-pack                                                # into gpu-pack/
    python benchmarks/gpu_pack.py --mirror DATA --wheels 3.12    # packages for a Python that lacks them, too

    mirror/    raw data, as `data_mirror` takes them
    results/   checkpoints that are done, and UAE sets where these are small: all of MNIST's take 190 MB
    wheels/    packages, installed without a network where Snakemake or this package is missing

The checkout and the folder together take at most 64 MiB: what comes later in the list stays out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACK = ROOT / "gpu-pack"
MOST = 64 * 2**20  # bytes, of the checkout and the pack
# What a machine for deep learning has, or no run imports
THERE = {"torch", "torchvision", "triton", "numpy", "scipy", "pandas", "scikit-learn", "matplotlib", "numba"}
THERE |= {"llvmlite", "fonttools", "pillow", "kiwisolver", "contourpy", "narwhals", "pygments"}
SOURCE_ALONE = {"connection-pool"}  # pure Python, published without a wheel
NEVER_IMPORTED = {"pulp"}  # of Snakemake's other scheduler


def pack(given: argparse.Namespace) -> None:
    """Fill the pack in the list's order, as far as it fits."""
    from benchmarks.gpu import entries, records
    from uae.data import catalogue

    for part in ("mirror", "results"):
        shutil.rmtree(given.pack / part, ignore_errors=True)
    if given.wheels:
        _wheels(given.pack / "wheels", given.wheels)
    tracked = _tracked()
    size = sum((ROOT / path).stat().st_size for path in tracked)
    size += sum(path.stat().st_size for path in (given.pack / "wheels").glob("*.whl"))
    print(f"checkout{' and wheels' * (given.pack / 'wheels').is_dir()}: {size / 2**20:.1f} MiB")
    scale = Path(given.scale).stem
    there = {path.removeprefix(f"results/{scale}/") for path in tracked}
    # An entry whose records are in the checkout is not run, so its data stay here.
    listed = [entry for entry in entries(given.list) if not there.issuperset(records(entry))]
    wanted = [(target, _raw(target, given.mirror)) for target in dict.fromkeys(_data(listed, catalogue))]
    results = ROOT / "results" / scale
    runs = [path.partition("/reconstruction/")[2] for e in listed for path in records(e)]
    runs = [path.replace(".json", ".safetensors") for path in runs if path]
    done = ["metadata.json.gz", *(f"{kind}/{path}" for kind in ("checkpoints", "uae") for path in runs)]
    wanted += [(Path("results") / path, results / path) for path in done if (results / path).is_file()]
    for target, source in wanted:
        target, more = given.pack / target, source.stat().st_size
        if size + more > MOST:
            print(f"{target.relative_to(given.pack)}: left out, no room")
            continue
        size += more
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
    print(f"{given.pack}: {size / 2**20:.1f} of {MOST / 2**20:.0f} MiB, with the checkout")


def _data(listed: list[dict], catalogue) -> Iterator[Path]:
    """The raw files of the entries' data sets, where a mirror has them."""
    for name in dict.fromkeys(name for entry in listed for name in entry["data"]):
        entry, folder = catalogue.raw(name)
        for file in entry.files:
            yield Path("mirror") / (entry.mirror_folder or folder) / file


def _raw(target: Path, mirrors: list[Path]) -> Path:
    places = [mirror / target.relative_to("mirror") for mirror in mirrors]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        sys.exit(
            f"{target.relative_to('mirror')}: in none of {', '.join(map(str, mirrors))}; give its --mirror"
        )
    return found


def _wheels(folder: Path, python: str) -> None:
    """Download what Snakemake and this package need and such a machine lacks, in the versions here."""
    from packaging.requirements import Requirement

    names, waiting = set(), ["snakemake", "uae-repro", "mlxtend", "pooch", "pytest", "hypothesis"]
    waiting += ["pydantic", "pyyaml", "rich", "typer"]  # of the extra `cli`
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in names | THERE | NEVER_IMPORTED:
            continue
        names.add(name)
        needs = map(Requirement, metadata.requires(name) or [])
        waiting += [r.name for r in needs if r.marker is None or r.marker.evaluate({"extra": ""})]
    names -= {"uae-repro"}
    pins = {name: f"{name}=={metadata.version(name)}" for name in sorted(names)}
    platforms = [f"manylinux{v}_x86_64" for v in ("_2_28", "_2_27", "_2_17", "2014", "1")]
    ready = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    ready += [f"--platform={platform}" for platform in platforms]
    built = [pins[name] for name in SOURCE_ALONE & names]
    pip = [shutil.which("python3") or sys.executable, "-m", "pip"]
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(
        [*pip, "download", "-q", "--no-deps", *ready, "-d", str(folder), *(set(pins.values()) - set(built))],
        check=True,
    )
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", str(folder), *built], check=True)


def _tracked() -> list[str]:
    run = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in run.stdout.splitlines() if (ROOT / path).is_file()]


def restore(pack: Path, results: Path) -> None:
    """Put what was done elsewhere where it was, but for what is there."""
    for source in (pack / "results").rglob("*"):
        target = results / source.relative_to(pack / "results")
        if source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def environment(pack: Path) -> dict[str, str]:
    """The environment of a run's commands: this Python's packages, or the pack's where some are missing."""
    out = os.environ | {"PYTHONUNBUFFERED": "1"}
    if util.find_spec("snakemake") and _installed("uae-repro"):
        return out
    site, wheels = pack / "site", sorted((pack / "wheels").glob("*.whl"))
    names, installed = "\n".join(wheel.name for wheel in wheels), site / "wheels.txt"
    if wheels and not (installed.is_file() and installed.read_text(encoding="utf-8") == names):
        shutil.rmtree(site, ignore_errors=True)  # what an installation that was stopped left
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(site)]
        subprocess.run([*pip, *map(str, wheels)], check=True)
        installed.write_text(names, encoding="utf-8")
    _register(site)
    paths = [str(ROOT / "src"), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    binaries = [str(site / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
    return out | {"PYTHONPATH": os.pathsep.join(paths), "PATH": os.pathsep.join(binaries)}


def _register(site: Path) -> None:
    """This package, as if it were installed there: its version, and its command, which runs src."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name, version = project["name"], project["version"]
    about = site / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    about.parent.mkdir(parents=True, exist_ok=True)
    about.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    command = site / "bin" / "uae"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m uae.cli "$@"\n', encoding="utf-8")
    command.chmod(0o755)


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mirror = [Path(path) for path in [os.environ.get("UAE_DATA_MIRROR") or "data/raw"]]
    parser.add_argument("--pack", type=Path, default=PACK)
    parser.add_argument("--mirror", type=Path, nargs="+", default=mirror, help="folders with the raw data")
    parser.add_argument("--wheels", metavar="VERSION", help="also packages, for this version of Python")
    parser.add_argument("--scale", default="paper")
    parser.add_argument("--list", type=Path, default=ROOT / "benchmarks" / "gpu.yaml")
    pack(parser.parse_args())


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
