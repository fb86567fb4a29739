"""The files of the supervised experiments: attacks on classifiers, and what is measured of them."""

from __future__ import annotations

from typing import Any, Literal

from uae.config import Row
from uae.plan.experiments import Plan, prepared


def supervised(plan: Plan) -> None:
    """Tables 1 to 3, Figures 1 to 4."""
    cfg = plan.cfg
    for row in cfg.classifiers:
        for number, seed in enumerate(plan.seeds(cfg.seeds)):
            jobs = _Jobs(plan, row, seed, pictures=not number)
            for item in cfg.supervised_items(row):
                getattr(jobs, f"_{item}")()


class _Jobs:
    """The jobs of one classifier. A method for each item adds its attacks and measurements.

    pictures: whether figures of single runs show this one.
    """

    def __init__(self, plan: Plan, row: Row, seed: int, *, pictures: bool):
        self.plan, self.row, self.seed, self.pictures = plan, row, seed, pictures
        self.block, data = plan.cfg.supervised, prepared(plan.cfg.classifier_data(row))
        self.files = {"data": data, "checkpoint": plan.checkpoint(row, "original", seed)}
        plan.add("train", self.files["checkpoint"], self.block.classifier(row.dataset), data=data)

    def _attack(self, name: str, settings: dict[str, Any], draw: int | None = None) -> str:
        """The set of one attack. name: the method's, with @<eps> where it has several."""
        target = self.plan.uae(self.row, name, self.seed, draw)
        self.plan.add("attack", target, settings, **self.files)
        return target

    def _mine(
        self, attack: Literal["minmax", "penalty"], images: int, eps: float, critic: str, **over: Any
    ) -> dict[str, Any]:
        """The settings of a MINE attack. `over` has those of the attack itself."""
        common = self.block.attack
        settings = {"eps": eps, "alpha": common.alpha, "kappa": common.kappa} | over
        if attack == "minmax":
            settings["beta"] = common.beta
        mine = {"critic": critic, "inner_steps": common.inner_steps, "lr": common.critic_lr}
        return {"attack": attack, "images": images, "settings": settings, "mine": mine}

    def _record(
        self, experiment: str, method: str, settings: dict[str, Any], draw: int | None = None, **inputs: Any
    ) -> None:
        target = self.plan.record(experiment, self.row, method, self.seed, draw)
        self.plan.add("evaluate", target, settings, **self.files, **inputs)

    def _picture(self, figure: str, settings: dict[str, Any], sets: list[str]) -> None:
        if self.pictures:
            target = self.plan.shown(figure, self.row, self.seed)
            self.plan.add("evaluate", target, settings, **self.files, uae=sets)

    def _table1(self) -> None:
        """The supervised examples are those of Figure 3, which has the same classifier."""
        plan, block, panel = self.plan, self.block, self.block.table1
        estimator = block.estimator.model_dump()
        estimator["random_sampling"] = block.table2.random_sampling.model_dump()
        examples = plan.uae(self.row, f"minmax@{max(block.figure3.eps):g}", self.seed)
        self._record("table1", "supervised-example", {"estimator": estimator}, uae=examples)
        for method, name in zip(panel.methods, panel.names, strict=True):
            plan.add(
                "evaluate",
                plan.record("table1", panel, name, self.seed),
                {"estimator": estimator, "method": method},
                **plan.attacked(panel, self.seed),
                uae=plan.uae(panel, method, self.seed),
            )

    def _table2(self) -> None:
        """Random sampling several times, and each convolution's output once; some also at the smaller eps."""
        block, table2 = self.block, self.block.table2
        weights = {"inception": file} if (file := block.inception_file) else {}
        independent = None if block.inception else table2.independent
        settings = {"inception": block.inception, "independent": independent}
        runs: list[tuple[str, int | None]] = [("random-sampling", draw) for draw in range(table2.runs)]
        runs += [(name, None) for name in table2.layers]
        pictured: dict[str, list[str]] = {}  # by method, the sets at both eps
        for method, draw in runs:
            sets = []
            for eps in table2.eps if not draw and method in table2.pictured else table2.eps[:1]:
                attack = self._mine("minmax", table2.images, eps, "vanilla", steps=table2.steps)
                if method == "random-sampling":
                    attack["random_sampling"] = table2.random_sampling.model_dump()
                elif layer := table2.layers[method]:
                    attack["layer"] = layer
                name = method if eps == table2.eps[0] else f"{method}@{eps:g}"
                sets.append(self._attack(name, attack, draw))
            if len(sets) == 2:
                pictured[method] = sets
            inputs: dict[str, Any] = weights | {"uae": sets[0]}
            self._record(
                "table2", method, settings | {"eps": table2.eps[1]}, draw, **inputs, smaller=sets[1:]
            )
            if (method, draw) == runs[0]:  # any set names the attacked images
                self._record("table2", "unattacked", settings, **inputs)
        for figure, eps, number in (("figure1", table2.eps[0], 0), ("figure4", table2.eps[1], 1)):
            shown = {"eps": eps, "methods": list(pictured), "shown": table2.shown}
            self._picture(figure, shown, [sets[number] for sets in pictured.values()])

    def _table3(self) -> None:
        """A penalty attack is also compared with MinMax that uses the same critic."""
        block, budgets, sets = self.block, self.block.table3[self.row.dataset], {}
        compared = {name: method for name, method in block.compared.items() if budgets.get(method.critic)}
        for name, method in compared.items():
            budget = budgets[method.critic]
            assert budget is not None
            over: dict[str, Any] = {"steps": budget.steps}
            if method.attack == "penalty":
                over = {
                    "steps": budget.steps // block.searches,
                    "searches": block.searches,
                    "restart_critic": method.restart_critic,
                }
            images = min(budget.images, method.images or budget.images)
            settings = self._mine(method.attack, images, 1.0, method.critic, **over)
            if method.inner_steps:
                settings["mine"]["inner_steps"] = method.inner_steps
            sets[name] = self._attack(name, settings | {"trace": True})
        for name, method in compared.items():
            alike = [m for m, k in compared.items() if (k.attack, k.critic) == ("minmax", method.critic)]
            paired = [sets[other] for other in alike[:1]] if method.attack == "penalty" else []
            estimator = {"estimator": block.estimator.model_dump()}
            self._record("table3", name, estimator, uae=sets[name], paired=paired)
        self._picture("figure2", {"methods": list(sets)}, list(sets.values()))

    def _figure3(self) -> None:
        block, sets = self.block.figure3, {}
        for eps in block.eps:
            settings = self._mine("minmax", block.images, eps, "vanilla", steps=block.steps)
            sets["minmax", eps] = self._attack(f"minmax@{eps:g}", settings)
            own = {"eps": eps, "steps": block.pgd_steps}
            settings = {"attack": "pgd", "images": block.images, "settings": own}
            sets["pgd", eps] = self._attack(f"pgd@{eps:g}", settings)
        of = {method: [sets[method, eps] for eps in block.eps] for method in ("minmax", "pgd")}
        for method, uae in of.items():
            self._record("bounds", method, {"eps": block.eps}, uae=uae)
        self._picture("figure3", block.model_dump(include={"eps", "shown"}), of["minmax"] + of["pgd"])
