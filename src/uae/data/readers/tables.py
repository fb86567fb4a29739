"""Tables: ISOLET, Mice Protein, Activity."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

import numpy as np

from uae.data.catalogue import Entry
from uae.data.readers.common import Split, archive, arrays, labels, min_max, stratified
from uae.errors import DataError

PROTEINS = """\
DYRK1A ITSN1 BDNF NR1 NR2A pAKT pBRAF pCAMKII pCREB pELK pERK pJNK PKCA pMEK pNR1 pNR2A pNR2B pPKCAB pRSK
AKT BRAF CAMKII CREB ELK ERK GSK3B JNK MEK TRKA RSK APP Bcatenin SOD1 MTOR P38 pMTOR DSCR1 AMPKA NR2B pNUMB
RAPTOR TIAM1 pP70S6 NUMB P70S6 pGSK3B pPKCG CDK5 S6 ADARB1 AcetylH3K9 RRP1 BAX ARC ERBB4 nNOS Tau GFAP GluR3
GluR4 IL1B P3525 pCASP9 PSD95 SNCA Ubiquitin pGSK3B_Tyr216 SHH BAD BCL2 pS6 pCFOS SYP H3AcK18 EGR1 H3MeK4 CaNA
"""
MICE = ["c-CS-m", "c-CS-s", "c-SC-m", "c-SC-s", "t-CS-m", "t-CS-s", "t-SC-m", "t-SC-s"]
FILLER = -100_000.0  # of the public reader's slip


def _numbers(text: str, columns: int, source: str) -> np.ndarray:
    """A text table of numbers between commas or spaces, float64 (rows, columns).

    Blank lines don't count. A ragged row or a cell that is no finite number is a DataError that
    names row and column, both counted from 1.
    """
    rows = []
    for line, content in enumerate(text.splitlines(), 1):
        cells = content.replace(",", " ").split()
        if not cells:
            continue
        if len(cells) != columns:
            raise DataError(f"{source}, row {line}: {len(cells)} columns, expected {columns}")
        try:
            row = np.array([float(cell) for cell in cells])
        except ValueError:
            row = np.array([np.nan])
        if not np.isfinite(row).all():
            column = next(i for i, cell in enumerate(cells) if not _is_finite(cell))
            raise DataError(f"{source}, row {line}, column {column + 1}: {cells[column]!r} is not a number")
        rows.append(row)
    if not rows:
        raise DataError(f"{source}: no rows")
    return np.stack(rows)


def _is_finite(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False


def _scaled(x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> Split:
    x_train, x_test = min_max(x_train, x_test)
    return x_train, y_train, x_test, y_test


def isolet(entry: Entry, path: Path) -> Split:
    """UCI's archive of ISOLET: 617 features and the letter, 1 to 26, a row; speakers 1-4 and 5."""
    out = []
    with archive(path, "zip") as file:
        members = {Path(name).name: name for name in file.namelist()}
        for name in ("isolet1+2+3+4.data.Z", "isolet5.data.Z"):
            if name not in members:
                raise DataError(f"{path}: lacks {name}")
            # Python has no decoder of compress's LZW; gzip, which is on every Unix, has.
            done = subprocess.run(["gzip", "-dc"], input=file.read(members[name]), capture_output=True)
            if done.returncode:
                raise DataError(f"{path}: {name} can't be decompressed ({done.stderr.decode().strip()})")
            source = f"{path}: {name}"
            table = _numbers(done.stdout.decode("ascii", "replace"), 618, source)
            out += [table[:, :-1], labels(table[:, -1], 1, entry, source)]
    return _scaled(*out)


def isolet_npz(entry: Entry, path: Path) -> Split:
    """ISOLET in one .npz: the features times 10,000 as int16 (they have four decimals), letters 1 to 26."""
    x_train, y_train, x_test, y_test = arrays(path, "x_train", "y_train", "x_test", "y_test")
    for part, x, y in [("train", x_train, y_train), ("test", x_test, y_test)]:
        if x.ndim != 2 or x.shape[1] != 617 or y.shape != x.shape[:1]:
            raise DataError(
                f"{path}: x_{part} has shape {x.shape} and y_{part} {y.shape}, not (n, 617) and (n,)"
            )
    y_train, y_test = (labels(y, 1, entry, path) for y in (y_train, y_test))
    return _scaled(x_train / 10_000, y_train, x_test / 10_000, y_test)


def activity(entry: Entry, path: Path) -> Split:
    """UCI's archive of activities in an ambient-assisted-living home: 561 features, activities 1 to 6."""
    out = []
    with archive(path, "zip") as file:
        members = {Path(name).name.lower(): name for name in file.namelist()}  # a y is a Y in some copies
        for part in ("train", "test"):
            for name, columns in [(f"final_X_{part}.txt", 561), (f"final_y_{part}.txt", 1)]:
                if name.lower() not in members:
                    raise DataError(f"{path}: lacks {name}")
                text = file.read(members[name.lower()]).decode("ascii", "replace")
                out.append(_numbers(text, columns, f"{path}: {name}"))
            x, y = out[-2:]
            if len(x) != len(y):
                raise DataError(f"{path}: {len(x)} rows in final_X_{part}.txt, {len(y)} in {name}")
            out[-1] = labels(y, 1, entry, f"{path}: {name}")
    return _scaled(*out)


def mice_protein(entry: Entry, path: Path) -> Split:
    """The table of 77 protein levels in mice of 8 classes; a missing value becomes its class's mean."""
    x, y = _mice(path)
    for label in np.unique(y):
        part = x[y == label]  # a copy
        x[y == label] = np.where(np.isnan(part), np.nanmean(part, axis=0), part)
    return _scaled(*stratified(x, y, entry, path))


def mice_protein_as_published(entry: Entry, path: Path) -> Split:
    """The same table as the public reader fills it, by which the paper's numbers come out.

    A slip: it writes FILLER into the gaps, and then goes through them row by row and gives each the mean
    of its class in that column, the other gaps' fillers and the value itself included.
    """
    x, y = _mice(path)
    gaps = np.argwhere(np.isnan(x))
    x[np.isnan(x)] = FILLER
    for i, j in gaps:
        x[i, j] = x[y == y[i], j].mean()
    return _scaled(*stratified(x, y, entry, path))


def _mice(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The table's features, float64 (n, 77) with NaN where a value is missing, and labels (n,)."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
    except (UnicodeDecodeError, ValueError, csv.Error) as error:
        raise DataError(f"{path}: not a CSV table ({error})") from None
    names = [f"{protein}_N" for protein in PROTEINS.split()]
    missing = [name for name in [*names, "class"] if name not in header]
    if missing:
        raise DataError(f"{path}: lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    order = [header.index(name) for name in names]
    x, y = np.empty((len(rows), len(names))), np.empty(len(rows), np.int64)
    for i, row in enumerate(rows):
        if len(row) != len(header):
            raise DataError(f"{path}, row {i + 2}: {len(row)} columns, expected {len(header)}")
        name = row[header.index("class")]
        if name not in MICE:
            raise DataError(f"{path}, row {i + 2}, column class: {name!r} is not one of {', '.join(MICE)}")
        y[i] = MICE.index(name)
        for j, column in enumerate(order):
            cell = row[column].strip()
            if cell and not _is_finite(cell):
                raise DataError(f"{path}, row {i + 2}, column {names[j]}: {cell!r} is not a number")
            x[i, j] = float(cell or "nan")
    for label in np.unique(y):
        empty = np.isnan(x[y == label]).all(axis=0)
        if empty.any():
            name = names[empty.argmax()]
            raise DataError(f"{path}, column {name}: no value in class {MICE[label]}, so no mean for it")
    return x, y
