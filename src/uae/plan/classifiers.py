"""The files of the supervised experiments."""

from __future__ import annotations

from uae.config import Row
from uae.plan.experiments import Inputs, Plan, prepared


def supervised(plan: Plan) -> None:
    """Tables 1 to 3, Figures 1 to 4."""
    cfg = plan.cfg
    for row in cfg.classifiers:
        data = prepared(cfg.classifier_data(row))
        for number, seed in enumerate(plan.seeds(cfg.seeds)):
            checkpoint = plan.checkpoint(row, "original", seed)
            plan.add("train", checkpoint, cfg.supervised.classifier(row.dataset), data=data)
            for attack in cfg.supervised.sets(row.dataset):
                target = plan.uae(row, attack.name, seed, attack.draw)
                plan.add("attack", target, attack.settings, data=data, checkpoint=checkpoint)
            for item in cfg.supervised_items(row):
                files = {"data": data, "checkpoint": checkpoint}
                ITEMS[item](plan, row, seed, not number, files)


def _table1(plan: Plan, row: Row, seed: int, first: bool, files: Inputs) -> None:
    block = plan.cfg.supervised
    estimator = block.estimator.model_dump()
    estimator["random_sampling"] = block.table2.random_sampling.model_dump()
    plan.add(
        "evaluate",
        plan.record("table1", row, "supervised-example", seed),
        {"estimator": estimator},
        **files,
        uae=plan.uae(row, f"minmax@{max(block.figure3.eps):g}", seed),
    )
    panel = block.table1
    for method, name in zip(panel.methods, panel.names, strict=True):
        plan.add(
            "evaluate",
            plan.record("table1", panel, name, seed),
            {"estimator": estimator, "method": method},
            **plan.attacked(panel, seed),
            uae=plan.uae(panel, method, seed),
        )


def _table2(plan: Plan, row: Row, seed: int, first: bool, files: Inputs) -> None:
    block, table2 = plan.cfg.supervised, plan.cfg.supervised.table2
    weighed = files | ({"inception": file} if (file := block.inception_file) else {})
    small, runs = f"@{table2.eps[1]:g}", block.runs()
    any_set = plan.uae(row, runs[0][0], seed, runs[0][1])
    independent = None if block.inception else table2.independent
    settings = {"inception": block.inception, "independent": independent}
    plan.add("evaluate", plan.record("table2", row, "unattacked", seed), settings, **weighed, uae=any_set)
    pictured = [(method, draw) for method, draw in runs if not draw and method in table2.pictured]
    for method, draw in runs:
        target = plan.record("table2", row, method, seed, draw)
        uae = plan.uae(row, method, seed, draw)
        also = [plan.uae(row, method + small, seed, draw)] if (method, draw) in pictured else []
        asked = settings | {"eps": table2.eps[1]}
        plan.add("evaluate", target, asked, **weighed, uae=uae, smaller=also)
    for figure, eps, suffix in zip(("figure1", "figure4"), table2.eps, ("", small), strict=True):
        sets = [plan.uae(row, method + suffix, seed, draw) for method, draw in pictured]
        methods = [method for method, _ in pictured]
        shown = {"eps": eps, "methods": methods, "shown": table2.shown}
        if first:
            plan.add("evaluate", plan.shown(figure, row, seed), shown, **files, uae=sets)


def _table3(plan: Plan, row: Row, seed: int, first: bool, files: Inputs) -> None:
    block = plan.cfg.supervised
    methods, settings = block.compared_methods(row.dataset), {"estimator": block.estimator.model_dump()}
    for method in methods:
        asked = block.compared[method]
        paired = []
        if asked.attack == "penalty":  # is compared with MinMax that uses the same critic
            alike = {"attack": "minmax", "critic": asked.critic}
            paired = [m for m in methods if block.compared[m].model_dump(include=set(alike)) == alike][:1]
        plan.add(
            "evaluate",
            plan.record("table3", row, method, seed),
            settings,
            **files,
            uae=plan.uae(row, method, seed),
            paired=[plan.uae(row, other, seed) for other in paired],
        )
    if first:
        uae = [plan.uae(row, method, seed) for method in methods]
        plan.add("evaluate", plan.shown("figure2", row, seed), {"methods": methods}, **files, uae=uae)


def _figure3(plan: Plan, row: Row, seed: int, first: bool, files: Inputs) -> None:
    block = plan.cfg.supervised.figure3
    found: list[str] = []
    for method in ("minmax", "pgd"):
        uae = [plan.uae(row, f"{method}@{eps:g}", seed) for eps in block.eps]
        found += uae
        target = plan.record("bounds", row, method, seed)
        plan.add("evaluate", target, {"eps": block.eps}, **files, uae=uae)
    if first:
        shown = block.model_dump(include={"eps", "shown"})
        plan.add("evaluate", plan.shown("figure3", row, seed), shown, **files, uae=found)


ITEMS = {"table1": _table1, "table2": _table2, "table3": _table3, "figure3": _figure3}
