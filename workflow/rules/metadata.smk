# Snakemake's metadata of each output, such as its inputs' checksums and its parameters, are kept with the results.
# Without them, a fresh clone that pulled the results would run everything again.
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
    # Snakemake would delete an output that is older than its input, so a time in the future is set to now.
    inputs = [path for job in workflow.dag.needrun_jobs() for path in job.input]
    for path in metadata.from_the_future(inputs):
        logger.warning(f"{path}: its time was in the future and is now the present.")
    # A killed run must not leave digests of files that it rendered again.
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
