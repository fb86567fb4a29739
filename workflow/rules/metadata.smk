# What Snakemake knows of each output, such as its inputs' checksums and its parameters, travels with the results:
# without it, a fresh clone that pulled them would run everything again.
import time

from uae import check, metadata
from uae.errors import BadFile
from uae.paper import committed

LIVE = Path(".snakemake/metadata")
PACKED = Path(f"{RESULTS}/metadata.json.gz")


if workflow.is_main_process and PACKED.exists():
    try:
        metadata.unpack(PACKED, LIVE, cfg.name)
    except BadFile as error:
        raise WorkflowError(str(error))


# `uae check` compares tables, figures and report with these digests.
RENDERED, STARTED = check.known(Path(RESULTS)), time.time()


onstart:
    # What was made from a file with a time to come would be deleted, and what was there before with it.
    inputs = [path for job in workflow.dag.needrun_jobs() for path in job.input]
    for path in metadata.from_the_future(inputs):
        logger.warning(f"{path}: its time was in the future; it is now.")
    # A kill must not leave the digests of files that were rendered again.
    (Path(RESULTS) / check.DIGESTS).unlink(missing_ok=True)


onerror:
    check.keep(Path(RESULTS), RENDERED, STARTED)


onsuccess:
    check.keep(Path(RESULTS), RENDERED, STARTED)
    report = Path(RESULTS) / "report.html"
    answers = [committed.answer(check.rendered(Path(RESULTS))), f"report: {report}" * report.exists()]
    logger.info(f"{RESULTS}: " + ("; ".join(filter(None, answers)) or "done"))
    if cfg.records == "live" or PACKED.exists():
        metadata.pack(LIVE, PACKED, cfg.name)
