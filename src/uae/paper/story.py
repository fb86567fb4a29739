"""The report's summary: what was run, what reproduced, what did not, and the measured reason.

Every sentence is computed from the records and their verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from statistics import median

from uae.data import catalogue
from uae.errors import DataError
from uae.paper.claims import AGREES, NOT_REPRODUCED, REPRODUCED, Verdict
from uae.paper.gain_figure import Gain
from uae.paper.names import complete, in_sentence, name_of
from uae.paper.perturbation import GREY_LEVEL, Key
from uae.paper.reasons import SECTIONS, section
from uae.paper.verdicts import weaknesses
from uae.records import Record, jobs

NAMED = 3  # the most claims that a sentence names


def summary(
    records: list[Record],
    verdicts: list[Verdict],
    changed: dict[Key, float],
    gains: list[Gain],
    preview: bool = False,
) -> list[str]:
    """Five sentences at most, as HTML: what was run, what reproduced, what did not, and the measured reason.

    preview: leave out statements that need larger runs.
    """
    if preview:
        return [text for text in [_ran(records)] if text]
    outcome = _outcome([v for v in verdicts if not v.claim.ours])
    return [text for text in (_ran(records), *outcome, _flat(changed), _steps(gains)) if text]


def _ran(records: list[Record]) -> str:
    records = [r for r in records if r.experiment != "estimator"]  # its pairs are not a data set
    if not records:
        return ""
    names = dict.fromkeys(name_of(_dataset(r), math=False) for r in records)
    sets = {r.variant.partition("+")[0] for r in records}
    parts = sum(not complete(variant) for variant in sets)
    models = len({(r.dataset, r.variant, r.model, r.method, r.seed, r.draw) for r in records})
    seeds = len({r.seed for r in records})
    made = [p for _, _, p in jobs(records)]
    hours = sum(p.seconds for p in made) / 3600
    on = dict.fromkeys(_device(p.device) for p in made)
    smaller = f" ({parts} of {counted(len(sets), 'data variant')} smaller than the paper's)" if parts else ""
    return (
        f"<b>What was run:</b> {counted(models, 'run')} with {counted(seeds, 'seed')} on "
        f"{escape(_listed(names))}{smaller}, in {_hours(hours)} on {escape(_listed(on))}."
    )


def _listed(names: Iterable[str]) -> str:
    """`A, B and C`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _dataset(record: Record) -> str:
    """The paper's data set that a record's data represent; for the user's own data, their name."""
    try:
        return catalogue.lookup(record.variant.partition("+")[0])[0].stands_for
    except DataError:
        return record.dataset


def _outcome(paper: list[Verdict]) -> list[str]:
    """What reproduced and what did not, by section and by claim."""
    by_section: dict[str, list[str]] = {}
    for v in paper:
        by_section.setdefault(section(v.claim), []).append(v.verdict)
    good = [
        f"{names.count(REPRODUCED)} of {len(names)} on "
        f"<a href='#claims-{escape(name)}'>{in_sentence(SECTIONS.get(name, name).partition(' (')[0])}</a>"
        for name, names in by_section.items()
        if REPRODUCED in names
    ]
    total, agreeing = (sum(v.verdict == name for v in paper) for name in (REPRODUCED, AGREES))
    more = f" {agreeing} more {'is' if agreeing == 1 else 'are'} in agreement, with unknown spread."
    weak = "; ".join(weaknesses(paper))
    said = [
        f"<b>What reproduced:</b> {total} of the paper's {len(paper)} claims"
        + (f": {', '.join(good)}." if good else ".")
        + more * bool(agreeing)
        + f" Of these, {weak}." * bool(weak)
    ]
    bad = [v for v in paper if v.verdict == NOT_REPRODUCED]
    if bad:
        links = [f"<a href='#claim-{escape(v.claim.id)}'>{in_sentence(_quoted(v))}</a>" for v in bad[:NAMED]]
        more = f", and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        said.append(f"<b>What did not:</b> {counted(len(bad), 'claim')}: that {'; that '.join(links)}{more}.")
    return said


def _quoted(v: Verdict) -> str:
    return escape(v.claim.statement.rstrip("."))


def _flat(changed: dict[Key, float]) -> str:
    flat = sum(change < GREY_LEVEL for change in changed.values())
    if not flat:
        return ""
    return (
        f"<b>What could not be tested:</b> {flat} of {counted(len(changed), 'model')} were retrained with "
        "UAEs that are their originals: the median change is less than one grey level. This tests nothing."
    )


def _steps(gains: list[Gain]) -> str:
    """The sentence on the matched control: where a lower error comes from."""
    if not gains:
        return ""
    uae, control = (f"{median(getattr(gain, name) for gain in gains):.0f}%" for name in ("uae", "control"))
    text = (
        f"<b>Where the gain comes from:</b> in {counted(len(gains), 'autoencoder')} retraining with "
        f"MINE-UAEs lowers the test error by {uae} (median). As many steps on the originals alone lower "
        f"it by {control}."
    )
    return text.replace("by -", "by −")


def _device(name: str) -> str:
    return "CPU" if name.startswith("CPU") else name


def _hours(hours: float) -> str:
    if hours >= 1:
        return counted(round(hours), "hour")
    return counted(max(1, round(60 * hours)), "minute")


def counted(number_: int, thing: str) -> str:
    return f"{number_:,} {thing}{'s' * (number_ != 1)}"
