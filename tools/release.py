"""Build what a release publishes: one folder of files, which `uae.models.pretrained` loads models from.

    make release
    make release RELEASE_ARGS="--results FOLDER --out FOLDER"

In it: the wheel; the checkpoint of each of MODELS with a card and its UAE sets; records; the report;
`.zenodo.json`; `index.json` and SHA256SUMS. What is missing is named, and nothing takes its place.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import jinja2
import yaml

from uae import bundle, records, storage
from uae.data import catalogue
from uae.errors import InputError
from uae.paper import report

ROOT = Path(__file__).parents[1]
CARD = Path(__file__).with_name("card.md.jinja")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODELS = ("mnist/dense", "mnist/sparse", "mnist/convolutional", "mnist/classifier")
SCALES = ("paper", "reduced")
SOURCES = ("src", "pyproject.toml", "README.md", "LICENSE")


def build(results: Path, out: Path) -> list[str]:
    """Build the bundle at `out`, which it replaces; what is missing, a line each. Whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".release-") as scratch:
        folder = Path(scratch) / "bundle"
        folder.mkdir()
        wheel(folder)
        found = [record for scale in SCALES for record in _records(results / scale)]
        index, missing = {}, []
        for name in MODELS:
            checkpoint = results / "paper" / "checkpoints" / name / "original" / "seed0.safetensors"
            if checkpoint.is_file():
                index[name] = model(name, checkpoint, found, folder)
            else:
                missing.append(f"{name}: no checkpoint {checkpoint}")
        missing += archive(results, folder / "records.zip")
        if (results / "paper" / "records").is_dir():
            report.write(
                results / "paper", folder / "report.html", "paper", ROOT / "workflow" / "report", "reduced"
            )
        (folder / ".zenodo.json").write_text(_json(zenodo()), encoding="utf-8")
        content = {"version": PROJECT["version"], "models": index}
        (folder / bundle.INDEX).write_text(_json(content), encoding="utf-8")
        sums = [f"{storage.digest(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
        (folder / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    return missing


def wheel(folder: Path) -> None:
    """The wheel, built from a copy: building leaves folders behind, and takes in what others left there."""
    with tempfile.TemporaryDirectory() as copy:
        for name in SOURCES:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, Path(copy, name), ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
                )
            else:
                shutil.copy2(ROOT / name, copy)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*pip, "--wheel-dir", str(folder), copy], check=True)


def model(name: str, checkpoint: Path, found: list[records.Record], folder: Path) -> dict[str, Any]:
    """Put a model, its card and its UAE sets there; its entry of the index."""
    stem = name.replace("/", "-")
    _, metadata = storage.read_tensors(checkpoint)
    file = folder / f"{stem}.safetensors"
    shutil.copyfile(checkpoint, file)
    sets = []
    for path in sorted((checkpoint.parents[4] / "uae" / name).glob("*/seed0.safetensors")):
        storage.read_tensors(path)  # whole, and what its place says
        sets.append(f"{stem}-uae-{path.parent.name}.safetensors")
        shutil.copyfile(path, folder / sets[-1])
    (folder / f"{stem}.md").write_text(card(name, metadata, found, sets), encoding="utf-8")
    return {
        "file": file.name,
        "bytes": file.stat().st_size,
        "sha256": storage.digest(file),
        "card": f"{stem}.md",
        "uae": sets,
    }


def card(name: str, metadata: dict[str, Any], found: list[records.Record], sets: list[str]) -> str:
    """The model card, from the checkpoint's metadata and the records that name its content."""
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    return template.from_string(CARD.read_text(encoding="utf-8")).render(
        name=name,
        m=metadata,
        data=catalogue.lookup(metadata["variant"])[0],
        licence=PROJECT["license"],
        settings={k: v for k, v in metadata["settings"].items() if k not in ("network", "arguments")},
        made=metadata["provenance"],
        records=[r for r in found if _measured_on(r, metadata)],
        sets=sets,
    )


def _measured_on(record: records.Record, metadata: dict[str, Any]) -> bool:
    """Whether a record was made from this checkpoint: the same place, and the same weights."""
    return (record.inputs or {}).get(metadata["file"], {}).get("content") == metadata["content"]


def archive(results: Path, target: Path) -> list[str]:
    """Zip the records of all scales, the same bytes for the same records; what is missing."""
    missing = []
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for scale in SCALES:
            paths = sorted(path for path in (results / scale / "records").rglob("*") if path.is_file())
            if not paths:
                missing.append(f"records: none in {results / scale}")
            for path in paths:
                file.writestr(zipfile.ZipInfo(str(path.relative_to(results))), path.read_bytes())
    return missing


def zenodo() -> dict[str, Any]:
    """The deposit's metadata, from CITATION.cff."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = citation["preferred-citation"]
    return {
        "title": citation["title"],
        "version": PROJECT["version"],
        "upload_type": "software",
        "description": PROJECT["description"],
        "license": citation["license"],
        "creators": [{"name": author["name"]} for author in citation["authors"]],
        "related_identifiers": [
            {"identifier": paper["journal"].split()[-1], "relation": "isSupplementTo", "scheme": "arxiv"}
        ],
    }


def _records(results: Path) -> list[records.Record]:
    return records.load(results / "records") if (results / "records").is_dir() else []


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--results", type=Path, default=ROOT / "results", help="folder of paper/ and reduced/"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "release" / PROJECT["version"])
    given = parser.parse_args()
    try:
        missing = build(given.results, given.out)
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
    size = sum(path.stat().st_size for path in given.out.iterdir())
    print(f"{given.out}: {len(list(given.out.iterdir()))} files, {size / 2**20:.1f} MiB")
    for line in missing:
        print(f"missing: {line}")


if __name__ == "__main__":
    main()
