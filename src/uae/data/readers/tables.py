"""Tables: ISOLET, Mice Protein, Activity."""

from __future__ import annotations

import csv
import io
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from uae.data import untrusted
from uae.data.catalogue import Entry
from uae.data.readers.common import Split, labels, min_max, stratified
from uae.errors import DataError

PROTEINS = """\
DYRK1A ITSN1 BDNF NR1 NR2A pAKT pBRAF pCAMKII pCREB pELK pERK pJNK PKCA pMEK pNR1 pNR2A pNR2B pPKCAB pRSK
AKT BRAF CAMKII CREB ELK ERK GSK3B JNK MEK TRKA RSK APP Bcatenin SOD1 MTOR P38 pMTOR DSCR1 AMPKA NR2B pNUMB
RAPTOR TIAM1 pP70S6 NUMB P70S6 pGSK3B pPKCG CDK5 S6 ADARB1 AcetylH3K9 RRP1 BAX ARC ERBB4 nNOS Tau GFAP GluR3
GluR4 IL1B P3525 pCASP9 PSD95 SNCA Ubiquitin pGSK3B_Tyr216 SHH BAD BCL2 pS6 pCFOS SYP H3AcK18 EGR1 H3MeK4 CaNA
"""
MICE = ["c-CS-m", "c-CS-s", "c-SC-m", "c-SC-s", "t-CS-m", "t-CS-s", "t-SC-m", "t-SC-s"]
FILLER = -100_000.0  # of the public reader's mistake


def _rows(text: str, source: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table of cells between commas, stripped, with their line numbers from 1.

    Blank lines, which editors add at the end, don't count.
    """
    rows = csv.reader(io.StringIO(text, newline=None))
    try:
        for row in rows:
            if any(cells := [cell.strip() for cell in row]):
                yield rows.line_num, cells
    except csv.Error as error:
        raise DataError(f"{source}: not a CSV table ({error})") from None


def _numbers(content: bytes, columns: int, source: str) -> np.ndarray:
    """A text table of numbers between commas or spaces, float64 (rows, columns).

    A ragged row, or a cell that is not a finite number, raises a DataError that names row and column, both
    counted from 1.
    """
    rows = []
    text = content.decode("utf-8-sig", "replace").replace(",", " ")
    for line, row in enumerate(io.StringIO(text, newline=None), 1):
        if not (cells := row.split()):
            continue
        if len(cells) != columns:
            raise DataError(f"{source}, row {line}: {len(cells)} columns, expected {columns}")
        rows.append([_number(cell) for cell in cells])
        if not np.isfinite(rows[-1]).all():
            column = np.isfinite(rows[-1]).argmin()
            raise DataError(f"{source}, row {line}, column {column + 1}: {cells[column]!r} is not a number")
    if not rows:
        raise DataError(f"{source}: no rows")
    return np.array(rows)


def _number(cell: str) -> float:
    """The number in a cell, or NaN. Unlike Python's float, it refuses 1_000."""
    try:
        return float(cell) if "_" not in cell else np.nan
    except ValueError:
        return np.nan


def _scaled(x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> Split:
    x_train, x_test = min_max(x_train, x_test)
    return x_train, y_train, x_test, y_test


def isolet(entry: Entry, path: Path) -> Split:
    """UCI's archive of ISOLET: each row has 617 features and the letter, 1 to 26; speakers 1-4 and 5."""
    names = {"isolet1+2+3+4.data.Z": entry.train, "isolet5.data.Z": entry.test}
    packed = untrusted.members(path, "zip", "|".join(map(re.escape, names)))
    out = []
    for name, rows in names.items():
        if name not in packed:
            raise DataError(f"{path}: lacks {name}")
        source = f"{path}: {name}"
        table = _numbers(_uncompressed(packed[name], _size(rows, 618), source), 618, source)
        if abs(table[:, :-1]).max() > 1:
            row, column = np.argwhere(abs(table[:, :-1]) > 1)[0]
            value = table[row, column]
            raise DataError(f"{source}: {value} in column {column + 1}; the features lie in [-1, 1]")
        out += [table[:, :-1], labels(table[:, -1], 1, entry, source)]
        # Each speaker says each letter twice; three recordings are missing.
        counts = np.bincount(out[-1], minlength=entry.classes)
        if np.ptp(counts) > 3:
            raise DataError(f"{source}: a letter has {counts.min()} rows, another {counts.max()}")
    return _scaled(*out)


def _size(rows: int, columns: int) -> int:
    """The most bytes of a text table: a number takes far less than 64."""
    return 64 * rows * columns + 2**16


def _uncompressed(content: bytes, limit: int, source: str) -> bytes:
    """Decompress a file of `compress`. Python cannot decode its LZW, but gzip can, on every Unix."""
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as errors:
        file.write(content)
        file.seek(0)
        try:
            gzip = subprocess.Popen(["gzip", "-dc"], stdin=file, stdout=subprocess.PIPE, stderr=errors)
        except FileNotFoundError:
            raise DataError(f"{source}: needs the program gzip to be decompressed") from None
        with gzip:
            assert gzip.stdout is not None  # a pipe
            out = gzip.stdout.read(limit + 1)
            gzip.kill()  # gzip says more there
        if len(out) > limit:
            raise DataError(f"{source}: unpacks to more than {limit:,} bytes")
        errors.seek(0)
        if message := errors.read().decode(errors="replace").strip():
            raise DataError(f"{source} can't be decompressed ({' '.join(message.split())})")
    return out


def isolet_npz(entry: Entry, path: Path) -> Split:
    """ISOLET in one .npz: the features times 10,000 as int16 (they have four decimals), letters 1 to 26."""
    x_train, y_train, x_test, y_test = untrusted.npz(path, "x_train", "y_train", "x_test", "y_test")
    for part, x, y in [("train", x_train, y_train), ("test", x_test, y_test)]:
        if x.ndim != 2 or x.shape[1] != 617 or y.shape != x.shape[:1]:
            raise DataError(
                f"{path}: x_{part} has shape {x.shape} and y_{part} {y.shape}, not (n, 617) and (n,)"
            )
        if x.dtype.kind not in "iu":
            raise DataError(f"{path}: x_{part} is {x.dtype}, not whole numbers: features times 10,000")
    y_train, y_test = (labels(y, 1, entry, path) for y in (y_train, y_test))
    return _scaled(x_train / 10_000, y_train, x_test / 10_000, y_test)


def activity(entry: Entry, path: Path) -> Split:
    """UCI's archive of activities in an ambient-assisted-living home: 561 features, activities 1 to 6."""
    # Some copies write y as Y.
    limit = _size(entry.train + entry.test, 562)
    members = untrusted.members(path, "zip", r"(?i:final_[xy]_(?:train|test)\.txt)", limit)
    members = {name.lower(): content for name, content in members.items()}
    out = []
    for part in ("train", "test"):
        for name, columns in [(f"final_X_{part}.txt", 561), (f"final_y_{part}.txt", 1)]:
            if name.lower() not in members:
                raise DataError(f"{path}: lacks {name}")
            out.append(_numbers(members[name.lower()], columns, f"{path}: {name}"))
        x, y = out[-2:]
        if len(x) != len(y):
            raise DataError(f"{path}: {len(x)} rows in final_X_{part}.txt, {len(y)} in {name}")
        out[-1] = labels(y, 1, entry, f"{path}: {name}")
    return _scaled(*out)


def mice_protein(entry: Entry, path: Path) -> Split:
    """The table of 77 protein levels in mice of 8 classes. A missing value becomes its class's mean."""
    x, y = mice_table(path)
    for label in np.unique(y):
        part = x[y == label]  # indexing copies
        x[y == label] = np.where(np.isnan(part), np.nanmean(part, axis=0), part)
    return _scaled(*stratified(x, y, entry, path))


def mice_protein_as_published(entry: Entry, path: Path) -> Split:
    """The same table, filled as the public reader does. The paper's numbers rest on it.

    That reader has a mistake: it writes FILLER into the gaps. Then it replaces each gap, row by row, by the
    mean of its class in that column, and this mean includes the filler of this gap and those of the others.
    """
    x, y = mice_table(path)
    gaps = np.argwhere(np.isnan(x))
    x[np.isnan(x)] = FILLER
    for i, j in gaps:
        x[i, j] = x[y == y[i], j].mean()
    return _scaled(*stratified(x, y, entry, path))


def mice_table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The table's features, float64 (n, 77) with NaN where a value is missing, and labels (n,)."""
    rows = _rows(untrusted.text(path), str(path))
    header = next(rows, (1, []))[1]
    names = [f"{protein}_N" for protein in PROTEINS.split()]
    missing = [name for name in [*names, "class"] if name not in header]
    if missing:
        first = ", ".join(missing[:9]) + f" and {len(missing) - 9} more" * (len(missing) > 9)
        raise DataError(f"{path}: lacks the column{'s' * (len(missing) > 1)} {first}")
    order = [header.index(name) for name in names]
    levels, classes = [], []
    for line, row in rows:
        if len(row) != len(header):
            raise DataError(f"{path}, row {line}: {len(row)} columns, expected {len(header)}")
        name = row[header.index("class")]
        if name not in MICE:
            raise DataError(f"{path}, row {line}, column class: {name!r} is not one of {', '.join(MICE)}")
        classes.append(MICE.index(name))
        cells = [row[column] for column in order]
        levels.append([_number(cell or "nan") for cell in cells])
        for column, cell, value in zip(names, cells, levels[-1], strict=True):
            if cell and not np.isfinite(value):
                raise DataError(f"{path}, row {line}, column {column}: {cell!r} is not a number")
    if not levels:
        raise DataError(f"{path}: no rows")
    x, y = np.array(levels), np.array(classes, np.int64)
    for label in np.unique(y):
        empty = np.isnan(x[y == label]).all(axis=0)
        if empty.any():
            name = names[empty.argmax()]
            raise DataError(f"{path}, column {name}: no value in class {MICE[label]}, so no mean for it")
    return x, y
