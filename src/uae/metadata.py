"""What Snakemake knows of each output, such as its inputs' checksums, packed to travel with the results.

The file comes from elsewhere, by `dvc pull`: it is checked, and none of its names is used as a path.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from uae.errors import BadFile
from uae.storage import atomic

LARGEST = 256 * 2**20  # bytes, unpacked
# The types of Snakemake's MetadataRecord that a run fills in
NEEDED = {"rule": str, "input": list, "params": list, "input_checksums": dict, "record_format_version": int}
OPTIONAL: dict[str, type | tuple[type, ...]] = {"log": list, "shellcmd": str, "code": str, "conda_env": str}
OPTIONAL |= {"software_stack_hash": str, "container_img_url": str, "external_jobid": str, "job_hash": int}
OPTIONAL |= {"incomplete": bool, "starttime": (int, float), "endtime": (int, float)}


def output_of(name: str) -> str | None:
    """The output that a file of Snakemake's metadata is about, None where the name is no such file's.

    Its path is in base64; long names are spread over folders that begin with @.
    """
    *folders, last = name.split("/")
    if last.startswith("@") or any(not folder.startswith("@") for folder in folders):
        return None
    text = "".join(folder[1:] for folder in folders) + last
    try:
        output = base64.urlsafe_b64decode(text).decode()
    except ValueError:
        return None
    return output if base64.urlsafe_b64encode(output.encode()).decode() == text else None


def path_of(output: str, live: Path) -> Path:
    """Where Snakemake looks for what it knows of an output."""
    text = base64.urlsafe_b64encode(output.encode()).decode()
    longest = os.pathconf(live, "PC_NAME_MAX") - 1
    parts = [text[start : start + longest] for start in range(0, len(text), longest)]
    return live.joinpath(*("@" + part for part in parts[:-1]), parts[-1])


def of_scale(output: str | None, scale: str) -> bool:
    """Whether it is an output under results/<scale>, or prepared data."""
    parts = (output or "").split("/")
    inside = len(parts) > 2 and parts[:2] in (["results", scale], ["data", "prepared"])
    return inside and all(part not in ("", ".", "..") and part.isprintable() for part in parts)


def is_record(content: Any) -> bool:
    """Whether it is what Snakemake writes about an output."""

    def fits(key: str, kind: Any) -> bool:
        value = content.get(key)
        return value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool)))

    return (
        isinstance(content, dict)
        and content.keys() >= NEEDED.keys()
        and all(fits(key, kind) for key, kind in (NEEDED | OPTIONAL).items())
        and all(isinstance(item, str) for key in ("input", "log") for item in content.get(key) or [])
    )


def _read(path: Path) -> dict[str, Any] | None:
    """A file of Snakemake's metadata; None for a link, or where a kill left it cut off."""
    try:
        content = None if path.is_symlink() else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if is_record(content) else None


def pack(live: Path, packed: Path, scale: str) -> None:
    """Write what Snakemake knows of a scale's outputs to one file, if there is anything."""
    kept = {}
    for path in sorted(p for p in live.rglob("*") if p.is_file()):
        name = path.relative_to(live).as_posix()
        if of_scale(output_of(name), scale) and (content := _read(path)) is not None:
            kept[name] = content
    if not kept:  # a run that only fetched raw data; the file would stand in the way of `dvc pull`
        return
    with atomic(packed) as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as stream:
        stream.write(json.dumps({"metadata": kept}, sort_keys=True).encode())


def unpack(packed: Path, live: Path, scale: str) -> None:
    """Give Snakemake what it does not know yet. Raises BadFile, before it writes, where anything is wrong."""
    kept = {}
    for name, content in _metadata(packed).items():
        output = output_of(name)
        if output is None or not of_scale(output, scale):
            shown = repr(output or name)[:200]
            raise _bad(packed, f"{shown} is no output under results/{scale} or data/prepared")
        if not is_record(content):
            raise _bad(packed, f"what it says of {output[:200]!r} is not Snakemake's")
        kept[output] = content
    for folder in (live.parent, live):
        _is_folder(folder)
        folder.mkdir(exist_ok=True)
    files = {path_of(output, live): content for output, content in kept.items()}
    for folder in sorted({folder for path in files for folder in path.relative_to(live).parents}):
        _is_folder(live / folder)
    for path, content in files.items():
        if _read(path) is None:  # else of a run here
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # cut off, or a link
            with path.open("x", encoding="utf-8") as file:
                json.dump(content, file)


def _metadata(packed: Path) -> dict[str, Any]:
    if not packed.is_file():
        raise _bad(packed, "no file")
    try:
        with gzip.open(packed) as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise _bad(packed, f"more than {LARGEST // 2**20} MiB unpacked")
        content = json.loads(text)
    except BadFile:
        raise
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise _bad(packed, str(error)) from None
    kept = content.get("metadata") if isinstance(content, dict) else None
    if not isinstance(kept, dict):
        raise _bad(packed, "no mapping under the key metadata")
    return kept


def _bad(packed: Path, reason: str) -> BadFile:
    return BadFile(f"{packed}: not what a run left ({reason}); delete it: outputs are then made again")


def _is_folder(path: Path) -> None:
    """Links are not followed: they may lead out of the project."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise BadFile(
            f"{path}: not a folder but a link or file, which Snakemake's metadata would end in; move it"
        )


def from_the_future(paths: Iterable[str | Path]) -> list[str]:
    """Set files that have a time to come to now, and name them. Raises OSError where that may not be.

    Snakemake deletes what a job made if one of its inputs is newer, and has no copy of what was there before.
    """
    found = []
    for path in dict.fromkeys(map(str, paths)):
        try:
            latest = max(Path(path).stat().st_mtime, Path(path).lstat().st_mtime)
        except FileNotFoundError:  # a job makes it first
            continue
        if latest > time.time():
            for follow in (True, False):
                os.utime(path, follow_symlinks=follow)
            found.append(path)
    return found
