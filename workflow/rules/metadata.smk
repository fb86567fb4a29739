# What Snakemake knows of each output, such as its inputs' checksums and its parameters, travels with the results:
# without it, a fresh clone that pulled them would run everything again.
from uae import metadata
from uae.errors import BadFile
from uae.storage import digest

LIVE = Path(".snakemake/metadata")
PACKED = Path(f"{RESULTS}/metadata.json.gz")


def rendered():
    """What nothing reads again, for `uae check`: the other files hold a checksum of themselves."""
    return sorted(
        p
        for name in ("tables", "figures", "report.html")
        for p in [Path(RESULTS) / name, *(Path(RESULTS) / name).glob("*")]
        if p.is_file() and p.suffix != ".safetensors"
    )


if workflow.is_main_process and PACKED.exists():
    try:
        metadata.unpack(PACKED, LIVE, cfg.name)
    except BadFile as error:
        raise WorkflowError(str(error))


onstart:
    # What was made from a file with a time to come would be deleted, and what was there before with it.
    inputs = [path for job in workflow.dag.needrun_jobs() for path in job.input]
    for path in metadata.from_the_future(inputs):
        logger.warning(f"{path}: its time was in the future; it is now.")


onsuccess:
    if cfg.records == "live" or PACKED.exists():
        metadata.pack(LIVE, PACKED, cfg.name, rendered={str(path): digest(path) for path in rendered()})
