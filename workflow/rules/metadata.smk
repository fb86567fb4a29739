# What Snakemake knows of each output, such as its inputs' checksums and its parameters, travels with the results:
# without it, a fresh clone that pulled them would run everything again.
import base64
import gzip
import time
import zlib

from uae import check
from uae.storage import atomic

LIVE = Path(".snakemake/metadata")
PACKED = Path(f"{RESULTS}/metadata.json.gz")


def output_of(name):
    """The output that a file of Snakemake's metadata is about; long names are spread over folders."""
    return base64.b64decode("".join(Path(name).parts).replace("@", "")).decode(errors="replace")


def whole(path):
    """The content of a file of Snakemake's metadata; None where a kill left it cut off."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def pack():
    kept = {}
    for path in sorted(p for p in LIVE.rglob("*") if p.is_file()):
        name = path.relative_to(LIVE).as_posix()
        if Path(output_of(name)).parts[:2] in [("results", cfg.name), ("data", "prepared")]:
            if (content := whole(path)) is not None:
                kept[name] = content
    if not kept:  # a run that only fetched raw data; the file would stand in the way of `dvc pull`
        return
    with (
        atomic(PACKED) as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
    ):
        packed.write(json.dumps({"metadata": kept}, sort_keys=True).encode())


def unpack():
    try:
        kept = json.loads(gzip.decompress(PACKED.read_bytes()))["metadata"]
    except (OSError, EOFError, ValueError, KeyError, zlib.error) as error:
        raise WorkflowError(
            f"{PACKED}: not what a run left ({error}); delete it: outputs are then made again"
        )
    for name, content in kept.items():
        if whole(LIVE / name) is None:  # else of a run here
            (LIVE / name).parent.mkdir(parents=True, exist_ok=True)
            (LIVE / name).write_text(json.dumps(content))


if workflow.is_main_process and PACKED.exists():
    unpack()


# `uae check` compares tables, figures and report with these digests.
RENDERED, STARTED = check.known(Path(RESULTS)), time.time()


onstart:
    # A kill must not leave the digests of files that were rendered again.
    (Path(RESULTS) / check.DIGESTS).unlink(missing_ok=True)


onerror:
    check.keep(Path(RESULTS), RENDERED, STARTED)


onsuccess:
    check.keep(Path(RESULTS), RENDERED, STARTED)
    if cfg.records == "live" or PACKED.exists():
        pack()
