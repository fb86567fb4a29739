"""Snakemake's metadata of each output, such as its inputs' checksums, packed into a file beside the results.

`dvc pull` can bring this file from elsewhere, so it is checked, and none of its names is used as a path.
"""

from __future__ import annotations

import base64
import gzip
import json
import logging
import os
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from uae.errors import BadFile, Unreadable
from uae.storage import atomic

log = logging.getLogger(__name__)

LARGEST = 256 * 2**20  # the most unpacked bytes
# The types of the fields of Snakemake's MetadataRecord that a run fills in
NEEDED = {"rule": str, "input": list, "params": list, "input_checksums": dict, "record_format_version": int}
OPTIONAL: dict[str, type | tuple[type, ...]] = {"log": list, "shellcmd": str, "code": str, "conda_env": str}
OPTIONAL |= {"software_stack_hash": str, "container_img_url": str, "external_jobid": str, "job_hash": int}
OPTIONAL |= {"incomplete": bool, "starttime": (int, float), "endtime": (int, float)}


def output_of(name: str) -> str | None:
    """The output that a file of Snakemake's metadata describes. None if the name is not that of such a file.

    The name is the output's path in base64. Long names are split into folders that begin with @.
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
    """The path of Snakemake's metadata of an output."""
    text = base64.urlsafe_b64encode(output.encode()).decode()
    longest = os.pathconf(live, "PC_NAME_MAX") - 1
    parts = [text[start : start + longest] for start in range(0, len(text), longest)]
    return live.joinpath(*("@" + part for part in parts[:-1]), parts[-1])


def of_scale(output: str | None, scale: str) -> bool:
    """Whether an output is under results/<scale> or is prepared data."""
    parts = (output or "").split("/")
    inside = len(parts) > 2 and parts[:2] in (["results", scale], ["data", "prepared"])
    return inside and all(part not in ("", ".", "..") and part.isprintable() for part in parts)


def is_record(content: Any) -> bool:
    """Whether a value is a metadata record as Snakemake writes it."""

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
    """Read a file of Snakemake's metadata. None for a link, or if a kill truncated it."""
    try:
        content = None if path.is_symlink() else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if is_record(content) else None


def pack(live: Path, packed: Path, scale: str) -> None:
    """Write Snakemake's metadata of a scale's outputs to one file, if there are any and `unpack` reads it."""
    kept = {}
    for path in sorted(p for p in live.rglob("*") if p.is_file()):
        name = path.relative_to(live).as_posix()
        if of_scale(output_of(name), scale) and (content := _read(path)) is not None:
            kept[name] = content
    text = json.dumps({"metadata": kept}, sort_keys=True).encode()
    if not kept:  # the run only fetched raw data; the file would block `dvc pull`
        return
    if len(text) > LARGEST:
        log.warning(
            "%s is not written: more than %d MiB. A clone that pulls these results runs them again",
            packed,
            LARGEST // 2**20,
        )
        return
    with atomic(packed) as file, gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as stream:
        stream.write(text)


def unpack(packed: Path, live: Path, scale: str) -> None:
    """Add the metadata that Snakemake lacks. Raises BadFile, and writes nothing, if any entry is wrong."""
    kept = {}
    for name, content in contents(packed).items():
        output = output_of(name)
        if output is None or not of_scale(output, scale):
            shown = repr(output or name)[:200]
            raise _bad(packed, f"{shown} is not an output under results/{scale} or data/prepared")
        if not is_record(content):
            raise _bad(packed, f"its entry for {output[:200]!r} is not Snakemake's")
        kept[output] = content
    for folder in (live.parent, live):
        _check_folder(folder)
        folder.mkdir(exist_ok=True)
    files = {path_of(output, live): content for output, content in kept.items()}
    for folder in sorted({folder for path in files for folder in path.relative_to(live).parents}):
        _check_folder(live / folder)
    for path, content in files.items():
        if _read(path) is None:  # otherwise a run here wrote it
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)  # truncated, or a link
            with path.open("x", encoding="utf-8") as file:
                json.dump(content, file)


def contents(packed: Path) -> dict[str, Any]:
    """The entries of a packed file, by the names of Snakemake's files. Raises BadFile if it is not one."""
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
    except (gzip.BadGzipFile, EOFError, ValueError, RecursionError, zlib.error) as error:
        raise _bad(packed, str(error)) from None
    except OSError as error:
        raise Unreadable(f"{packed}: {error.strerror}") from None
    kept = content.get("metadata") if isinstance(content, dict) else None
    if not isinstance(kept, dict):
        raise _bad(packed, "no mapping under the key metadata")
    return kept


def _bad(packed: Path, reason: str) -> BadFile:
    return BadFile(f"{packed}: not what a run left ({reason}); delete it: outputs are then made again")


def _check_folder(path: Path) -> None:
    """Raise BadFile unless the path is a folder or absent. A link may lead out of the project."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise BadFile(f"{path}: a link or file, but Snakemake needs a folder for its metadata; move it")


def from_the_future(paths: Iterable[str | Path]) -> list[str]:
    """Set the time of files from the future to now, and return them. Raises OSError without permission.

    If an input is newer than a job's output, Snakemake deletes the output and keeps no copy of the old one.
    """
    found = []
    for path in dict.fromkeys(map(str, paths)):
        try:
            latest = max(Path(path).stat().st_mtime, Path(path).lstat().st_mtime)
        except FileNotFoundError:  # another job makes it first
            continue
        if latest > time.time():
            for follow in (True, False):
                os.utime(path, follow_symlinks=follow)
            found.append(path)
    return found
