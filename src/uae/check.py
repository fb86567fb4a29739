"""Check the files of a scale: they must be whole, match their places, and match the files beside them."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from uae import identity, metadata, records, storage
from uae.errors import BadFile, DataError, Unreadable

Plan = Mapping[str, str]  # by folder, the hash of its files' settings (`uae.plan`)
MOST = 10  # named files of a kind
DIGESTS = "digests.json"  # digests of rendered files, by their paths in the scale's folder
BY_NO_RULE = (DIGESTS, "metadata.json.gz")  # a complete run writes them at its end


@dataclass
class Report:
    """The result of a check.

    damaged: by file, the fault.  unreadable: those among them that may be whole, because the system did not
    let us read them.  whole: the number of undamaged files.  missing: absent files that others were made
    from, or that a run wrote.  stale: files made with other settings than the configuration's.
    unchecked: what was not checked, and why.
    """

    damaged: dict[Path, str] = field(default_factory=dict)
    unreadable: set[Path] = field(default_factory=set)
    whole: int = 0
    missing: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)

    def look(self, path: Path, read: Callable[[Path], Any]) -> Any:
        """Read a file with `read`. Records the fault and returns None if the file is damaged."""
        try:
            if not path.is_file():  # opening a pipe would wait for its writer
                raise BadFile("not a file")
            content = read(path)
        except Exception as error:  # a damaged file can make its reader raise anything
            if isinstance(error, Unreadable | OSError):  # it may be whole
                self.unreadable.add(path)
            text = str(error) if isinstance(error, (BadFile, DataError)) else f"cannot be read ({error!r})"
            self.damaged[path] = text.removeprefix(f"{path}: ").partition("; delete")[0]
            return None
        self.whole += 1
        return content


def check(results: Path, data: Path = Path("data"), plan: Plan | None = None) -> Report:
    """Check all files of a scale, and the data."""
    report = Report()
    read: dict[str, Mapping[str, Any]] = {}
    older = 0
    for path in sorted([*results.rglob("*.safetensors"), *(data / "prepared").glob("*.safetensors")]):
        content = report.look(path, _metadata)
        if content is not None and (place := identity.place(path)):
            read[place] = content
            older += "file" not in content
    for path in sorted((results / "records").rglob("*.json")):
        record = report.look(path, records.read)
        if record is not None and (place := identity.place(path)):
            read[place] = record.model_dump()
            older += record.inputs is None
    if older:
        report.unchecked.append(f"the inputs of {older} files: made before files named their inputs")
    _inputs(report, read, results, data)
    _settings(report, read, plan)
    _rendered(report, results)
    _written(report, results)
    _raw(report, data / "raw")
    return report


def _metadata(path: Path) -> dict[str, Any]:
    metadata = storage.read_tensors(path)[1]
    inputs = metadata.get("inputs", {})
    if not isinstance(inputs, dict) or not all(isinstance(entry, dict) for entry in inputs.values()):
        raise BadFile("does not say what it was made from")
    return metadata


def _inputs(report: Report, read: Mapping[str, Mapping[str, Any]], results: Path, data: Path) -> None:
    """Compare the inputs that each file names with the files that exist."""
    for place, content in read.items():
        for name, entry in (content.get("inputs") or {}).items():
            path = (data if name.startswith("prepared/") else results) / name
            if name in read and read[name].get("content") != entry.get("content"):
                own = (data if place.startswith("prepared/") else results) / place
                report.damaged.setdefault(own, f"was made from another {name} than the one there")
            elif not path.exists() and str(path) not in report.missing:
                report.missing.append(str(path))


def _settings(report: Report, read: Mapping[str, Mapping[str, Any]], plan: Plan | None) -> None:
    """Compare the settings of files and their inputs with the configuration."""
    if plan is None:
        report.unchecked.append(
            "the settings of the files: there is no configuration of this scale; --scale takes its file, too"
        )
        return
    for place, content in read.items():
        made = {place: identity.made_with(content)}
        made |= {name: entry.get("settings") for name, entry in (content.get("inputs") or {}).items()}
        for name, settings in made.items():
            if settings != plan.get(name.rpartition("/")[0], settings):
                report.stale.append(f"{place}: {name}" if name != place else place)


def _rendered(report: Report, results: Path) -> None:
    """Compare tables, figures and report, which hold no checksum, with the last complete run's digests."""
    path = results / DIGESTS
    if not os.path.lexists(path):
        if rendered(results):
            report.unchecked.append(
                f"the tables, figures and report: there is no {path}, which a complete run writes"
            )
        return
    digests = report.look(path, _digests) or {}
    for file in rendered(results):
        name = file.relative_to(results).as_posix()
        if digests and name not in digests:
            report.unchecked.append(f"{file}: no complete run left its digest in {path}")
    for name, digest in digests.items():
        file = results / name
        if not os.path.lexists(file):
            report.missing.append(str(file))
        elif file not in report.damaged:
            report.look(file, functools.partial(_same, digest=digest))


def _digests(path: Path) -> dict[str, str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise BadFile(f"holds a {type(content).__name__}, not digests by name")
    for name, digest in content.items():
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or Path(name).is_absolute() or not isinstance(digest, str):
            raise BadFile(f"names {name!r}, which is not a file of this folder")
    return content


def rendered(results: Path) -> list[Path]:
    """The files of tables and figures in every format, the headline numbers and the report."""
    found = [*results.glob("tables/*"), *results.glob("figures/*")]
    found += [results / "metrics.json", results / "report.html"]
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def known(results: Path) -> dict[str, str]:
    """The digests of rendered files, by name. Empty if the file of digests is absent or damaged."""
    path = results / DIGESTS
    try:
        return _digests(path) if path.is_file() else {}
    except (OSError, ValueError, BadFile):
        return {}


def keep(results: Path, before: dict[str, str], since: float) -> None:
    """Write the digests of the files rendered since the time `since`; the others keep those of `before`.

    So a second run does not accept a file that was changed between two runs.
    """
    found = {}
    for path in rendered(results):
        name = path.relative_to(results).as_posix()
        older = path.stat().st_mtime < since
        found[name] = before[name] if older and name in before else storage.digest(path)
    if found:
        storage.write_text(results / DIGESTS, json.dumps(found, indent=1, sort_keys=True) + "\n")


def _same(path: Path, digest: str) -> None:
    if storage.digest(path) != digest:
        raise BadFile("not as it was rendered")


def _written(report: Report, results: Path) -> None:
    """Name the missing files that a run wrote, according to Snakemake's metadata."""
    path = results / "metadata.json.gz"
    if not os.path.lexists(path):
        report.unchecked.append(f"whether files are missing: there is no {path}, which a complete run writes")
        return
    for name in report.look(path, _outputs) or []:
        parts = PurePosixPath(name).parts  # results/<scale>/...
        file = results.joinpath(*parts[2:])
        known = {*report.missing, *map(str, report.damaged)}
        if parts[0] == "results" and ".." not in parts and not file.exists() and str(file) not in known:
            report.missing.append(str(file))


def _outputs(path: Path) -> list[str]:
    """The outputs that the file of Snakemake's metadata describes."""
    return sorted(filter(None, map(metadata.output_of, metadata.contents(path))))


def _raw(report: Report, folder: Path) -> None:
    """Compare raw data with the catalogue."""
    if not folder.is_dir():
        report.unchecked.append(f"no {folder}: the raw data")
        return
    from uae.data import catalogue, fetch  # not at the top: only this function needs their packages

    for name, entry in {**catalogue.entries(), **catalogue.models()}.items():
        there = {file: folder / name / file for file in entry.files if (folder / name / file).exists()}
        for file, path in there.items():
            if (known := entry.files[file]) is None and getattr(entry, "content", None) is None:
                report.unchecked.append(f"{path}: no published checksum")
            else:
                report.look(path, functools.partial(fetch.verify, expected=known, entry=entry))
        if there and len(there) < len(entry.files):
            report.missing += [str(folder / name / file) for file in entry.files if file not in there]


def deletable(path: Path, folders: list[Path]) -> bool:
    """Whether a file or link lies in one of the folders, and no link or `..` on its path leads out."""
    inside = any(path.parent.resolve().is_relative_to(folder.resolve()) for folder in folders)
    return inside and (path.is_symlink() or not path.is_dir())


def plan_of(scale: str) -> Plan | None:
    """The plan of the configuration of a scale or its file; None if the scale has no configuration."""
    from uae import config, plan

    if scale not in config.files.scales() and not scale.endswith((".yaml", ".yml")):
        return None
    return plan.settings(plan.plan(config.load({"scale": scale})))


def lines(report: Report) -> Iterator[str]:
    """The lines of the answer, except those of damaged files."""
    for names, what in [(report.missing, "missing"), (report.stale, "made with other settings than now")]:
        yield from (f"{what}: {name}" for name in names[:MOST])
        if len(names) > MOST:
            yield f"{what}: {len(names) - MOST} more"
    yield from (f"not checked: {what}" for what in report.unchecked)
