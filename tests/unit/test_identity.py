"""Another valid file in a file's place is refused by name where it is read, and `uae check` sees it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.swaps import Tiny
from uae import check, identity, plan, records, storage
from uae.data.prepared import load
from uae.errors import BadFile
from uae.paper.figures import render


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Tiny:
    """A run of every stage, and beside it one row made with other settings, and other data of one name."""
    tiny = Tiny(tmp_path_factory.mktemp("identity"))
    tiny.make(*MADE)
    shutil.copytree(tiny.data, tiny.folder / "other" / "data")
    dense = {"mnist": {"models": {"dense": {"epochs": 1}}}}
    other = Tiny(tiny.folder / "other", attack={"eps": 0.5}, reconstruction=dense)
    other.make("checkpoints/mnist/dense/original/seed0*", "uae/mnist/dense/*/seed0*")
    path = other.data / "prepared" / DATA
    arrays, metadata = storage.read_tensors(path)
    storage.write_tensors(path, arrays | {"x_train": 255 - arrays["x_train"]}, metadata)
    return tiny


DATA = "mnist-5k@60.safetensors"
# All but Tables 2 and 3 and SimCLR's records
MADE = (
    "checkpoints/*", "uae/*/dense/*", "uae/*/convolutional/*", "uae/*/sparse/*", "uae/*/simclr/*",
    "uae/mnist/classifier/minmax@*", "uae/mnist/classifier/pgd@*",
    "records/reconstruction/*", "records/figure[356]/*", "records/bounds/*", "records/table1/*",
    "records/robustness/*",
)  # fmt: skip


C, R, U = (f"results/tiny/{kind}" for kind in ("checkpoints", "records", "uae"))
D = "data/prepared"
END = "seed0.safetensors"


def making(*patterns: str) -> Callable[[Tiny], None]:
    return lambda tiny: tiny.make(*patterns)


evaluate = making("records/reconstruction/mnist/dense/*/seed0*")
retrain = making("checkpoints/mnist/dense/mine-uae/seed0*")
generate = making("uae/mnist/dense/l2-uae-released/seed0*")


def rows(tiny):
    records.load(tiny.results / "records")


def figure(name: str):
    def draw(tiny):
        render(name, sorted((tiny.results / "records" / name).rglob(f"*{END}")), tiny.folder / "figures")

    return draw


# What is put where, and the stage that must refuse it.
SWAPS: dict[str, tuple[str, str, Callable[[Tiny], None]]] = {
    "checkpoint: method": (f"{C}/mnist/dense/matched/{END}", f"{C}/mnist/dense/original/{END}", generate),
    "checkpoint: model": (
        f"{C}/mnist/convolutional/original/{END}",
        f"{C}/mnist/dense/original/{END}",
        generate,
    ),
    "checkpoint: data set": (f"{C}/svhn/sparse/original/{END}", f"{C}/mnist/dense/original/{END}", evaluate),
    "checkpoint: seed": (
        f"{C}/mnist/dense/matched/seed1.safetensors",
        f"{C}/mnist/dense/matched/{END}",
        evaluate,
    ),
    "checkpoint: draw": (
        f"{C}/mnist/dense/ga-0.01/seed0-draw1.safetensors",
        f"{C}/mnist/dense/ga-0.01/seed0-draw0.safetensors",
        evaluate,
    ),
    "checkpoint: retrained": (f"{C}/mnist/dense/mine-uae/{END}", f"{C}/mnist/dense/matched/{END}", evaluate),
    "checkpoint: settings": (
        f"other/{C}/mnist/dense/original/{END}",
        f"{C}/mnist/dense/original/{END}",
        evaluate,
    ),
    "checkpoint: a UAE set": (f"{U}/mnist/dense/mine-uae/{END}", f"{C}/mnist/dense/mine-uae/{END}", evaluate),
    "set: attack, retrained on": (
        f"{U}/mnist/dense/l2-uae-released/{END}",
        f"{U}/mnist/dense/mine-uae/{END}",
        retrain,
    ),
    "set: attack": (f"{U}/mnist/dense/l2-uae-released/{END}", f"{U}/mnist/dense/mine-uae/{END}", evaluate),
    "set: model": (f"{U}/mnist/convolutional/mine-uae/{END}", f"{U}/mnist/dense/mine-uae/{END}", retrain),
    "set: data set": (f"{U}/svhn/sparse/mine-uae/{END}", f"{U}/mnist/dense/mine-uae/{END}", retrain),
    "set: seed": (f"{U}/mnist/dense/mine-uae/seed1.safetensors", f"{U}/mnist/dense/mine-uae/{END}", retrain),
    "set: eps": (f"other/{U}/mnist/dense/mine-uae/{END}", f"{U}/mnist/dense/mine-uae/{END}", evaluate),
    "set: round": (
        f"{U}/svhn/sparse/mine-uae/{END}",
        f"{U}/svhn/sparse/mine-uae-2/{END}",
        making("records/reconstruction/svhn/sparse/*"),
    ),
    "set: Figure 5": (
        f"{U}/mnist/dense/mine-uae/{END}",
        f"{U}/mnist/convolutional/mine-uae/{END}",
        making("records/figure5/*"),
    ),
    "data: size": (f"{D}/mnist-5k@40.safetensors", f"{D}/mnist-5k@60.safetensors", evaluate),
    "data: size, attacked": (f"{D}/mnist-5k@40.safetensors", f"{D}/mnist-5k@60.safetensors", generate),
    "data: data set": (f"{D}/digits-on-photos@16.safetensors", f"{D}/mnist-5k@60.safetensors", retrain),
    "data: variant": (
        f"{D}/mnist-5k@60.safetensors",
        f"{D}/digits-on-photos@16.safetensors",
        making("uae/cifar10/simclr/*"),
    ),
    "data: numbers": (f"other/{D}/mnist-5k@60.safetensors", f"{D}/mnist-5k@60.safetensors", evaluate),
    "record: model": (
        f"{R}/reconstruction/mnist/convolutional/matched/seed0.json",
        f"{R}/reconstruction/mnist/dense/matched/seed0.json",
        rows,
    ),
    "record: seed": (
        f"{R}/reconstruction/mnist/dense/matched/seed1.json",
        f"{R}/reconstruction/mnist/dense/matched/seed0.json",
        rows,
    ),
    "record: method": (
        f"{R}/reconstruction/mnist/dense/matched/seed0.json",
        f"{R}/reconstruction/mnist/dense/mine-uae/seed0.json",
        rows,
    ),
    "record: table": (
        f"{R}/bounds/mnist/classifier/minmax/seed0.json",
        f"{R}/table3/mnist/classifier/minmax/seed0.json",
        rows,
    ),
    "record: robust": (
        f"{R}/robustness/mnist/madry/pgd/seed0.json",
        f"{R}/robustness/mnist/trades/pgd/seed0.json",
        rows,
    ),
    "figure: row": (f"{R}/figure6/mnist/madry/{END}", f"{R}/figure6/mnist/trades/{END}", figure("figure6")),
    "figure: another": (
        f"{R}/figure3/mnist/classifier/{END}",
        f"{R}/figure1/mnist/classifier/{END}",
        figure("figure1"),
    ),
    "classifier: a robust one": (
        f"{C}/robustness/mnist/classifier/original/{END}",
        f"{C}/mnist/classifier/original/{END}",
        making("uae/mnist/classifier/minmax@*"),
    ),
    "classifier: eps": (
        f"{U}/mnist/classifier/minmax@0.5/{END}",
        f"{U}/mnist/classifier/minmax@1/{END}",
        making("records/bounds/*", "records/table1/*"),
    ),
    "classifier: Table 1's other row": (
        f"{U}/mnist/dense/mine-uae/{END}",
        f"{U}/mnist/convolutional/mine-uae/{END}",
        making("records/bounds/*", "records/table1/*"),
    ),
    "robust: the supervised classifier": (
        f"{C}/mnist/classifier/original/{END}",
        f"{C}/robustness/mnist/classifier/original/{END}",
        making("records/robustness/mnist/classifier/*"),
    ),
    "robust: method": (
        f"{C}/robustness/mnist/classifier/matched/{END}",
        f"{C}/robustness/mnist/classifier/mine-uae/{END}",
        making("records/robustness/mnist/classifier/*"),
    ),
    "robust: surrogate": (
        f"{C}/robustness/mnist/madry/original/{END}",
        f"{C}/robustness/mnist/trades/original/{END}",
        making("records/robustness/mnist/madry/*"),
    ),
    "robust: UAE set": (
        f"{U}/mnist/dense/mine-uae/{END}",
        f"{U}/mnist/convolutional/mine-uae/{END}",
        making("checkpoints/robustness/mnist/classifier/*"),
    ),
    "simclr: checkpoint": (
        f"{C}/cifar10/simclr/mine-uae/{END}",
        f"{C}/cifar10/simclr/original/{END}",
        making("uae/cifar10/simclr/*"),
    ),
    "simclr: measured": (
        f"{C}/cifar10/simclr/mine-uae/{END}",
        f"{C}/cifar10/simclr/original/{END}",
        making("records/contrastive/*"),
    ),
    "simclr: set": (
        f"{U}/mnist/dense/mine-uae/{END}",
        f"{U}/cifar10/simclr/mine-uae/{END}",
        making("checkpoints/cifar10/simclr/mine-uae/*"),
    ),
}


class Swapped:
    """A context in which a copy of one file stands in another's place."""

    def __init__(self, folder: Path, source: str, target: str):
        self.source, self.target = folder / source, folder / target

    def __enter__(self) -> Path:
        self.before = self.target.read_bytes() if self.target.exists() else None
        self.target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.source, self.target)
        return self.target

    def __exit__(self, *_):
        self.target.unlink()
        if self.before is not None:
            self.target.write_bytes(self.before)


def test_what_was_made_is_whole(tiny):
    report = check.check(tiny.results, tiny.data)
    assert not report.damaged and not report.missing and report.whole > 60


@pytest.mark.parametrize("name", SWAPS)
def test_another_file_in_a_files_place_is_refused(tiny, name):
    source, target, stage = SWAPS[name]
    with Swapped(tiny.folder, source, target) as path:
        report = check.check(tiny.results, tiny.data)
        with pytest.raises(BadFile) as error:
            stage(tiny)
    assert str(path) in str(error.value) and "delete it" in str(error.value)
    assert "\n" not in str(error.value)
    place = identity.place(path)
    assert path in report.damaged or any(place in reason for reason in report.damaged.values())


@pytest.mark.parametrize(
    ("target", "stage"),
    [(f"{C}/mnist/dense/original/{END}", generate), (f"{U}/mnist/dense/mine-uae/{END}", retrain)],
)
def test_files_of_other_settings_are_refused_and_stale(tiny, monkeypatch, target, stage):
    asked = plan.settings(tiny.plan)
    assert not check.check(tiny.results, tiny.data, asked).stale
    with Swapped(tiny.folder, f"other/{target}", target) as path:
        stale = check.check(tiny.results, tiny.data, asked).stale
        assert path.relative_to(tiny.results).as_posix() in stale
        monkeypatch.setattr(identity, "settings", asked)
        with pytest.raises(BadFile) as error:
            stage(tiny)
    assert f"{path}: was made with other settings" in str(error.value)


def test_records_of_other_settings_are_stale_without_their_checkpoints(tiny, tmp_path):
    """The settings change, the checkpoints are deleted: the records are not of these settings."""
    shutil.copytree(tiny.results / "records", tmp_path / "tiny" / "records")
    other = Tiny(tmp_path, reconstruction={"mnist": {"models": {"dense": {"epochs": 7}}}})
    old, new = plan.settings(tiny.plan), plan.settings(other.plan)
    assert old["checkpoints/mnist/dense/original"] != new["checkpoints/mnist/dense/original"]
    report = check.check(tmp_path / "tiny", tiny.data, new)
    assert not report.damaged and report.missing
    named = {line.partition(": ")[0] for line in report.stale}
    dense = {"mine-uae", "l2-uae-released", "original"}  # matched and noise are not made from the original
    folder = "records/reconstruction/mnist/dense"
    expected = {f"{folder}/{method}/seed{seed}.json" for method in dense for seed in (0, 1)}
    assert expected <= named
    assert not [name for name in named if "svhn" in name or "classifier" in name]
    # The workflow compares the same: a job's parameter has the settings of all that it reads, and of theirs.
    for planned in (tiny.plan, other.plan):
        made = plan.made(
            planned, ["results/tiny/checkpoints/robustness/mnist/classifier/mine-uae/seed0.safetensors"]
        )
        assert {"uae/mnist/convolutional/mine-uae", "checkpoints/mnist/convolutional/original"} <= set(made)


def test_a_rebuild_that_gives_the_same_numbers_is_the_same_file(tiny):
    """Seconds and commits differ: what was made from the file stays valid."""
    path = tiny.path(f"uae/mnist/dense/mine-uae/{END}")
    before = storage.read_tensors(path)[1]
    tiny.make("uae/mnist/dense/mine-uae/seed0*")
    after = storage.read_tensors(path)[1]
    assert before["content"] == after["content"] and before["provenance"] != after["provenance"]
    evaluate(tiny)
    assert not check.check(tiny.results, tiny.data).damaged


def test_a_file_names_all_that_it_was_made_from(tiny):
    record = records.read(tiny.path("records/reconstruction/mnist/dense/mine-uae/seed0.json"))
    data = f"prepared/{DATA}"
    trained = {f"checkpoints/mnist/dense/{method}/{END}" for method in ("original", "mine-uae")}
    assert set(record.inputs) == {data, f"uae/mnist/dense/mine-uae/{END}", *trained}
    assert record.inputs[data]["content"] == load(tiny.data / data).metadata["content"]
    robust = records.read(tiny.results / "records/robustness/mnist/classifier/mine-uae/seed0.json")
    assert f"uae/mnist/convolutional/mine-uae/{END}" in robust.inputs
    retrained = storage.read_tensors(tiny.path(f"checkpoints/cifar10/simclr/mine-uae/{END}"))[1]["inputs"]
    assert set(retrained) == {
        "prepared/digits-on-photos@16.safetensors",
        f"checkpoints/cifar10/simclr/original/{END}",
        f"uae/cifar10/simclr/mine-uae/{END}",
    }


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("results/a/checkpoints/mnist/dense/original/seed0.safetensors", "checkpoints/mnist/dense/original/"),
        ("x/checkpoints/robustness/m/n/original/seed1.safetensors", "checkpoints/robustness/m/n/original/"),
        ("uae/results/a/uae/m/n/mine-uae/seed0-draw3.safetensors", "uae/m/n/mine-uae/"),
        ("results/a/records/figure6/m/n/seed0.safetensors", "records/figure6/m/n/"),
        ("results/a/../b/uae/m/n/o/seed0.safetensors", "uae/m/n/o/"),
        ("uae/mine.safetensors", None),
        ("checkpoints/model.safetensors", None),
        ("results/a/figures/figure5.safetensors", None),
        ("results/a/uae/m/n/o/seed0.safetensors.partial", None),
    ],
)
def test_only_the_workflows_files_have_a_place(path, place):
    found = identity.place(path)
    assert found is None if place is None else found == place + Path(path).name


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("uae/cifar/resnet/run1/seed0.safetensors", "uae/mnist/dense/run2/seed1.safetensors"),
        ("prepared/foreign.safetensors", "prepared/another.safetensors"),
    ],
)
def test_a_users_file_may_be_named_as_the_workflows(tmp_path, name, other):
    """Its owner was told to delete it."""
    path, copy = tmp_path / "project" / name, tmp_path / other
    storage.write_tensors(path, {"x": np.zeros(2)}, {"seed": 0})
    copy.parent.mkdir(parents=True)
    shutil.copy(path, copy)
    assert storage.read_tensors(copy)[1] == {"seed": 0}
    save_file({"x": np.zeros(2)}, path)
    assert storage.read_tensors(path)[1] == {}
    for home in ("results/a", "data"):
        target = tmp_path / home / name
        target.parent.mkdir(parents=True)
        shutil.copy(path, target)
        with pytest.raises(BadFile, match="has no checksum; delete it"):
            storage.read_tensors(target)
        shutil.copy(copy, target)
        with pytest.raises(BadFile, match="does not say what it is; delete it"):
            storage.read_tensors(target)


def test_a_workflows_file_is_compared_where_its_folder_is_moved(tmp_path):
    first, other = (f"uae/mnist/dense/{attack}/seed0.safetensors" for attack in ("mine-uae", "l2-uae"))
    storage.write_tensors(tmp_path / "results/a" / first, {"x": np.zeros(2)}, {})
    (tmp_path / "results/a").rename(tmp_path / "kept")
    storage.read_tensors(tmp_path / "kept" / first)
    (tmp_path / "kept" / other).parent.mkdir()
    (tmp_path / "kept" / first).rename(tmp_path / "kept" / other)
    with pytest.raises(BadFile, match="is the UAE set of mnist/dense, method mine-uae, seed 0; expected"):
        storage.read_tensors(tmp_path / "kept" / other)


def test_a_user_may_move_what_an_attack_wrote(tmp_path):
    storage.write_tensors(tmp_path / "a.safetensors", {"x": np.zeros(2)}, {"seed": 0})
    shutil.move(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert storage.read_tensors(tmp_path / "b.safetensors")[1] == {"seed": 0}
