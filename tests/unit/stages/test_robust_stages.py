"""The robustness experiments: stages end to end on a small data set, and the configuration."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from tests.unit.stages.test_supervised import write_data
from uae import checkpoints, config, records, storage, training
from uae.attacks import AttackResult
from uae.config import Row
from uae.data import prepared
from uae.errors import ConfigError, InputError
from uae.evaluation import robustness as measures
from uae.paper import cells
from uae.plan import plan
from uae.stages import evaluate, train
from uae.stages.evaluate import robust
from uae.training import classifier

FLAGS = [name for name in records.METRICS if name.startswith("flag_")]
FIT = {"lr": 0.02, "batch_size": 4, "epochs": 6, "momentum": 0.9}
TRAINING = {
    "network": "carlini-wagner",
    "arguments": {"widths": [8, 8, 16], "classes": 4, "dropout": 0.0},
    "fit": FIT,
    "adversary": None,
    "checkpoint": None,
}
ROBUST = TRAINING | {
    "fit": FIT | {"objective": "madry", "optimizer": "sgd"},
    "adversary": {"eps": 0.1, "steps": 2, "step_size": 0.1, "beta": 6.0},
}
MINMAX = {"steps": 20, "alpha": 0.3, "beta": 1.0, "inner_steps": 1, "critic": "vanilla", "critic_lr": 1e-3}
PLAIN = {"eps": [0.05, 0.3], "images": 12, "pgd": {"steps": 4, "step_size": None}}
MINMAX |= {"images": 6}
SANITY = {"surrogate": "trades", "restarts": 3, "eps": 0.5}
UAES = "uae/mnist/convolutional/mine-uae/seed0.safetensors"


def place(folder, model, method="original"):
    return folder / "checkpoints" / "robustness" / "mnist" / model / method / "seed0.safetensors"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run: data, UAEs, checkpoints and records."""
    folder = tmp_path_factory.mktemp("robustness")
    data, uae = folder / "data.safetensors", folder / UAES
    write_data(data)
    x = prepared.load(data).unit("train")
    adv = (x + 0.01).clamp(0, 1)
    ones = torch.ones(len(x))
    AttackResult(adv, ones.bool(), ones, ones, ones, ones.long(), torch.arange(len(x))).save(uae)
    for method, sets in (("original", []), ("mine-uae", [uae]), ("matched", [])):
        train.run(place(folder, "classifier", method), data=data, uae=sets, settings=TRAINING)
    trades = copy.deepcopy(ROBUST)
    trades["fit"] |= {"objective": "trades"}
    for model, settings in (("madry", ROBUST), ("trades", trades)):
        train.run(place(folder, model), data=data, settings=settings)
    # A surrogate that gets the images of one class wrong, whatever the last bits of its training
    surrogate, metadata = checkpoints.load(place(folder, "trades"))
    with torch.no_grad():
        surrogate.head.bias[3] -= 1e3
    checkpoints.save(place(folder, "trades"), surrogate, metadata)

    def measure(record, model, method, settings, **inputs):
        seen = []
        evaluate.run(
            folder / "records" / record,
            data=data, checkpoint=place(folder, model, method), settings=settings,
            progress=lambda done, total, note: seen.append((done, total)), **inputs,
        )  # fmt: skip
        return seen

    for method in ("original", "mine-uae", "matched"):
        seen = measure(f"robustness/mnist/classifier/{method}/seed0.json", "classifier", method, PLAIN)
        assert seen == [(1, 2), (2, 2)]  # an attack at each eps
    more = {"pgd": {}, "minmax": {"minmax": MINMAX}, "sanity": {"sanity": SANITY}}
    for name, settings in more.items():
        inputs = {"surrogate": place(folder, "trades")} if name == "sanity" else {}
        record = f"robustness/mnist/madry/{name}/seed0.json"
        measure(record, "madry", "original", PLAIN | settings, **inputs)
    shown = PLAIN | {"minmax": MINMAX, "shown": 2}
    measure("figure6/mnist/madry/seed0.safetensors", "madry", "original", shown)
    return folder


def trained(run, model, method="original"):
    return checkpoints.load(place(run, model, method))


def record(run, model, method):
    return records.read(run / "records" / "robustness" / "mnist" / model / method / "seed0.json")


def test_a_model_is_trained_on_what_its_method_says(run):
    """Each against a training written out here: the originals, with UAEs of the same labels, and twice."""
    source = prepared.load(run / "data.safetensors")
    x, y = source.unit("train"), torch.from_numpy(source.y_train)
    adv = AttackResult.load(run / UAES).adv
    for method, inputs in (("original", [x]), ("mine-uae", [x, adv]), ("matched", [x, x])):
        found, metadata = trained(run, "classifier", method)
        torch.manual_seed(train.seeding.derive(0, "initialisation"))
        model = train.models.build("carlini-wagner", (1, 16, 16), **TRAINING["arguments"])
        classifier.fit(model, torch.cat(inputs), torch.cat([y] * len(inputs)), seed=0, **FIT)
        for name, weight in model.state_dict().items():
            torch.testing.assert_close(found.state_dict()[name], weight)
        assert metadata["n_train"] == 40 and len(metadata["history"]) == 6
        assert metadata["steps"] == 6 * training.steps_per_epoch(40 * len(inputs), 4)


def test_uaes_that_are_not_given_are_asked_for(run):
    """Else the model would see the originals twice and be called by the UAEs' name."""
    target = place(run / "none", "classifier", "mine-uae")
    with pytest.raises(InputError, match=r"mine-uae needs 1 UAE sets \(mine-uae\), got 0"):
        train.run(target, data=run / "data.safetensors", settings=TRAINING)
    target = place(run / "none", "classifier", "matched")
    with pytest.raises(InputError, match=r"matched needs 0 UAE sets \(none\), got 1"):
        train.run(target, data=run / "data.safetensors", uae=[run / UAES], settings=TRAINING)
    assert not (run / "none").exists()


def test_records_say_whether_the_uaes_of_a_training_differ_from_their_originals(run):
    found = AttackResult.load(run / UAES)
    x = prepared.load(run / "data.safetensors").unit("train")
    changes = np.sqrt(((found.adv - x).double().numpy() ** 2).reshape(len(x), -1).mean(1))
    change = np.median(changes[found.success.numpy()])
    assert record(run, "classifier", "mine-uae").metrics["success_change"] == pytest.approx(change, abs=1e-9)
    assert "success_change" not in record(run, "classifier", "matched").metrics


def test_the_records_are_the_rates_of_the_attacks(run):
    source = prepared.load(run / "data.safetensors")
    x, y = source.unit("test"), torch.from_numpy(source.y_test)
    model, _ = trained(run, "classifier")
    found = record(run, "classifier", "original").metrics
    assert found["accuracy"] == pytest.approx((model(x).argmax(1) == y).double().mean().item())
    rows = measures.attacked(model, x, y, 12, seed=0)
    assert found["n_attacked"] == len(rows) == 12
    for eps in (0.05, 0.3):
        pgd = robust.PGD(eps=eps, steps=4)
        adv = pgd(robust.losses.CrossEntropy(model, y[rows]), x[rows], seed=0, index=rows).adv
        assert found[f"asr@{eps}"] == pytest.approx((model(adv).argmax(1) != y[rows]).double().mean().item())
        assert found[f"asr_low@{eps}"] <= found[f"asr@{eps}"] <= found[f"asr_high@{eps}"]
    assert {record(run, "classifier", m).method for m in ("mine-uae", "matched")} == {"mine-uae", "matched"}


@pytest.mark.parametrize("text", ["2/255", "8/255", "12/255", "16/255", "0.4", "0.031"])
def test_the_claims_find_the_rates_at_a_bound(text, run, monkeypatch):
    """`asr@16/255` of claims.yaml is the key that the stage writes for 16/255."""
    saved = {}
    monkeypatch.setattr(records.Record, "save", lambda self, path: saved.update(self.metrics))
    bound = float(config.values.fraction(text))
    evaluate.run(
        run / "records/robustness/mnist/classifier/original/seed1.json",
        data=run / "data.safetensors",
        checkpoint=place(run, "classifier"),
        settings=PLAIN | {"eps": [bound], "images": 2},
    )
    key = next(name for name in saved if name.startswith("asr@"))
    assert cells._metric(f"asr@{text}") == cells._metric(key)


def test_compared_attacks_have_a_record_each_and_images(run):
    assert record(run, "madry", "pgd").metrics["n_attacked"] == 12
    assert record(run, "madry", "minmax").metrics["n_attacked"] == 6
    arrays, metadata = storage.read_tensors(
        run / "records" / "figure6" / "mnist" / "madry" / "seed0.safetensors"
    )
    assert metadata["model"] == "madry" and arrays["eps"].tolist() == [0.05, 0.3]
    model, _ = trained(run, "madry")
    labels = model(torch.from_numpy(arrays["original"])).argmax(1)  # correct without an attack
    for attack in ("pgd", "minmax"):
        delta = np.abs(arrays[attack] - arrays["original"]).reshape(2, -1).max(1)
        assert (delta <= arrays["eps"] + 1e-6).all() and delta[1] > 0
        for e in (0, 1):
            fooled = model(torch.from_numpy(arrays[attack][e])).argmax(1) != labels
            assert fooled.tolist() == arrays[f"{attack}_success"][e].tolist()


def test_the_checks_are_recorded(run):
    metrics = record(run, "madry", "sanity").metrics
    assert set(FLAGS) <= set(metrics)
    assert metrics["flags"] == sum(metrics[name] for name in FLAGS)
    assert metrics["asr_restarts"] >= metrics["asr_single"]
    assert metrics["robust_accuracy"] == pytest.approx(metrics["accuracy"] * (1 - metrics["asr_restarts"]))
    source = prepared.load(run / "data.safetensors")
    x, y = source.unit("test"), torch.from_numpy(source.y_test)
    (model, _), (other, _) = trained(run, "madry"), trained(run, "trades")
    rows = measures.attacked(model, x, y, 12, seed=0)
    pgd = robust.PGD(eps=0.5, steps=4)
    adv = pgd(robust.losses.CrossEntropy(other, y[rows]), x[rows], seed=0, index=rows).adv
    fooled = model(adv).argmax(1) != y[rows]
    right = other(x[rows]).argmax(1) == y[rows]  # an image that the surrogate gets wrong is not attacked
    assert 0 < right.sum() < len(right) and fooled.any()
    assert metrics["asr_transfer"] == pytest.approx(fooled[right].double().mean().item())


def checked(run, name, change):
    """The metrics of the checks with a surrogate that is the attacked model with another last layer."""
    surrogate, metadata = trained(run, "madry")
    with torch.no_grad():
        change(surrogate.head)
    checkpoints.save(place(run / name, "trades"), surrogate, metadata)
    target = run / name / "records/robustness/mnist/madry/sanity/seed0.json"
    evaluate.run(
        target, data=run / "data.safetensors", checkpoint=place(run, "madry"),
        surrogate=place(run / name, "trades"), settings=PLAIN | {"sanity": SANITY},
    )  # fmt: skip
    return records.read(target).metrics


def test_without_an_image_that_the_surrogate_gets_right_there_is_no_transfer(run):
    """The job once failed. What does not need the surrogate is as with another one."""

    def always_wrong(head):
        head.weight.copy_(head.weight.roll(1, 0))
        head.bias.copy_(head.bias.roll(1))

    metrics, expected = checked(run, "none", always_wrong), record(run, "madry", "sanity").metrics
    assert {"asr_transfer", "flag_transfer_wins"} == set(expected) - set(metrics)
    assert metrics["flags"] == sum(value for name, value in metrics.items() if name.startswith("flag_"))
    assert all(expected[name] == value for name, value in metrics.items() if name != "flags")


def test_transfer_is_compared_with_the_white_box_on_the_same_images(run, monkeypatch):
    compared, flags = {}, measures.flags

    def noted(rates, **checks):
        compared.update(checks)
        return flags(rates, **checks)

    def of_one_class(head):
        head.bias[2] += 1e6

    monkeypatch.setattr(measures, "flags", noted)
    checked(run, "same", of_one_class)
    source = prepared.load(run / "data.safetensors")
    x, y = source.unit("test"), torch.from_numpy(source.y_test)
    model, _ = trained(run, "madry")
    rows = measures.attacked(model, x, y, 12, seed=0)
    expected = []
    for restarts in (1, SANITY["restarts"]):
        pgd = robust.PGD(eps=0.5, steps=4, restarts=restarts)
        adv = pgd(robust.losses.CrossEntropy(model, y[rows]), x[rows], seed=0, index=rows).adv
        expected.append(int((model(adv).argmax(1) != y[rows])[y[rows] == 2].sum()))
    count = int((y[rows] == 2).sum())
    assert 0 < count < 12 and compared["transfer"].count == count
    assert [(rate.hits, rate.count) for rate in compared["white_box"]] == [(hits, count) for hits in expected]
    assert compared["single"].count == 12


def test_a_published_checkpoint_takes_the_place_of_training(run, monkeypatch):
    model, _ = trained(run, "madry")
    asked = []
    known = {"network": "carlini-wagner", "arguments": TRAINING["arguments"], "shape": [1, 16, 16]}

    def convert(path, name):
        asked.append((path, name))
        return model, known | {"upstream": {"name": name}}

    monkeypatch.setattr(train.upstream, "convert", convert)
    target = place(run / "imported", "trades")
    settings = ROBUST | {"checkpoint": "p.pt"}
    train.run(target, data=run / "data.safetensors", published="p.pt", settings=settings)
    found, metadata = checkpoints.load(target)
    assert asked == [("p.pt", "trades-mnist")] and metadata["upstream"] == {"name": "trades-mnist"}
    assert metadata["n_train"] == 0 and torch.equal(found.head.weight, model.head.weight)


# The configuration


def settings(scale, **over):
    return config.load({"scale": scale} | over)


def test_the_paper_scale_has_the_published_settings():
    """Appendices H.1 and I; Madry's and TRADES' repositories."""
    block = settings("paper").robustness.models
    for dataset, eps in (("mnist", 0.3), ("cifar10", 8 / 255)):
        madry = block[dataset]["madry"]
        assert madry.adversary.eps == pytest.approx(eps)
        assert madry.pgd.steps == 100 and madry.pgd.step_size is None and madry.images == 1000
        assert madry.sanity.restarts == 20
    mnist, cifar = block["mnist"], block["cifar10"]
    assert mnist["madry"].fit.epochs * 60_000 // 50 == pytest.approx(100_000, rel=0.01)
    assert (mnist["madry"].fit.optimizer, mnist["madry"].fit.lr) == ("adam", 1e-4)
    assert (mnist["madry"].adversary.steps, mnist["madry"].adversary.step_size) == (40, 0.01)
    assert cifar["madry"].fit.epochs * 391 == pytest.approx(80_000, rel=0.01)
    assert [m * 391 for m in cifar["madry"].fit.milestones] == pytest.approx([40_000, 60_000], rel=0.01)
    assert (mnist["trades"].fit.epochs, mnist["trades"].fit.milestones) == (100, [54, 74, 89])
    assert (cifar["trades"].fit.epochs, cifar["trades"].adversary.eps) == (76, 0.031)
    steps = {(d, m): block[d][m].minmax.steps for d in block for m in ("madry", "trades")}
    assert steps == {("mnist", "madry"): 200, ("mnist", "trades"): 300,
                     ("cifar10", "madry"): 100, ("cifar10", "trades"): 200}  # fmt: skip
    assert {model.minmax.alpha for models in block.values() for model in models.values() if model.minmax} == {
        0.01
    }
    figure10 = mnist["classifier"]
    assert (figure10.images, figure10.pgd.steps, figure10.pgd.step_size) == (1000, 100, 0.01)
    assert max(mnist["adversarial-training"].eps) == 0.4
    assert max(cifar["adversarial-training"].eps) == pytest.approx(16 / 255)
    for models in (mnist, cifar):
        arms = ["original", "mine-uae", "mine-uae-released", "matched"]
        assert models["adversarial-training"].methods == arms


def test_the_reduced_scale_has_shorter_trainings_at_the_published_eps():
    paper, reduced = settings("paper"), settings("reduced")
    for row in paper.robust_rows:
        full, short = paper.robust_model(row), reduced.robust_model(row)
        if full.checkpoint:
            assert short.checkpoint == full.checkpoint
            continue
        assert short.fit.epochs < full.fit.epochs and short.images <= full.images
        assert short.eps == full.eps and short.pgd == full.pgd and short.methods == full.methods
        assert not full.adversary or short.adversary.eps == full.adversary.eps
    assert reduced.robust_model(Row("mnist", "madry")).fit.lr == 1e-3


def test_a_robust_model_takes_the_uaes_of_its_seed_where_there_are_any():
    uaes = {"uaes": {"mnist": {"seeds": [1, 2]}}}
    source = settings("paper", robustness=uaes).robustness.uaes["mnist"]
    assert [source.seed(own) for own in range(4)] == [1, 1, 2, 2]
    # Whatever other rows are run with
    source = settings("paper", seeds=[1, 2]).robustness.uaes["mnist"]
    assert [source.seed(own) for own in range(3)] == [0, 0, 0]


def test_each_method_takes_the_uaes_of_its_attack():
    made = plan(settings("paper", only="mnist/classifier"))
    folder = "results/paper/checkpoints/robustness/mnist/classifier"
    for method in ("mine-uae", "mine-uae-released"):
        uaes = f"results/paper/uae/mnist/convolutional/{method}/seed0.safetensors"
        assert made[f"{folder}/{method}/seed1.safetensors"].inputs["uae"] == [uaes]
        assert made[uaes].stage == "attack"


def test_only_asks_for_a_model_and_what_it_is_made_from():
    cfg = settings("preview", only="mnist/madry")
    assert cfg.robust_rows == [Row("mnist", "madry")] and cfg.made_rows == []
    assert cfg.robust_made == [Row("mnist", "madry"), Row("mnist", "trades")]
    cfg = settings("preview", only="mnist/adversarial-training")
    assert cfg.made_rows == [Row("mnist", "convolutional")]
    assert cfg.robust_data(cfg.robust_rows[0]) == cfg.data_name(Row("mnist", "convolutional"))
    assert "mine-uae" in cfg.row_attacks(Row("mnist", "convolutional"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["ga-0.1"]}, "methods: 'ga-0.1' is not original, matched or one of `attacks`: mine-uae"),
        ({"eps": ["8/0"]}, "neither a number nor a fraction"),
        ({"adversary": None}, "adversary: needs fit.objective, madry or trades"),
        ({"checkpoint": "nowhere.pt"}, "nowhere.pt: no such file"),
        ({"sanity": {"surrogate": "vgg", "restarts": 2}}, "no vgg on mnist"),
        ({"methods": ["mine-uae"]}, "takes the data of their row"),
        (
            {"methods": ["original", "matched"]},
            "minmax: needs a model with one entry in `methods`, and there are 2",
        ),
        (
            {"data": None, "train_limit": 5},
            "train_limit: leave it out; the UAEs' row sets the data and the limit",
        ),
    ],
)
def test_a_mistake_is_named(change, message):
    with pytest.raises(ConfigError, match=rf"(?s)robustness.*{message}"):
        settings("preview", robustness={"models": {"mnist": {"madry": change}}})
