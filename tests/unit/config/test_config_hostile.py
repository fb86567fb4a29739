"""Configurations that nobody means well with: each is refused in one line, within a second."""

import copy
import math
import os
import time

import pytest
import yaml

from uae import config, plan
from uae.config import strict_yaml, values
from uae.errors import ConfigError

TINY = config.ROOT / "tests" / "tiny.yaml"
SCALE = config.read_yaml(TINY)
LONG = "a" * 251  # with .yaml longer than a file's name may be


def refused(settings, files=()) -> str:
    """The message, which is one line for the mistake, short, and comes soon."""
    start = time.process_time()  # other work on the machine does not count
    with pytest.raises(ConfigError) as error:
        config.load(settings, files)
    text = str(error.value).removeprefix("bad configuration\n  ")
    assert time.process_time() - start < 3 and len(text) < 1200 and text.isprintable(), text
    return text


def bomb(levels: int, open_: str, close: str, first: str) -> str:
    """Each level has the one below nine times."""
    lines = [f"x0: &x0 {first}"]
    lines += [f"x{n}: &x{n} {open_}{', '.join([f'*x{n - 1}'] * 9)}{close}" for n in range(1, levels)]
    return "\n".join(lines)


# Texts of a file, and what the message says of it
TEXTS = {
    "empty": (b"", "must be a mapping"),
    "comment": (b"# nothing\n", "must be a mapping"),
    "list": (b"- seeds\n- 1\n", "must be a mapping"),
    "text": (b"seeds", "must be a mapping"),
    "number": (b"3", "must be a mapping"),
    "null": (b"null", "must be a mapping"),
    "two documents": (b"a: 1\n---\nb: 2\n", "line 2"),
    "open bracket": (b"seeds: [0", "line 1"),
    "tab": (b"attack:\n\teps: 1\n", "line 2"),
    "nul": (b"seeds: [\x00]", "special characters"),
    "latin-1": ("# für\nseeds: [0]".encode("latin-1"), "no UTF-8 text at byte 3"),
    "utf-16": ("seeds: [0]".encode("utf-16"), "no UTF-8 text at byte 0"),
    "gzip": (b"\x1f\x8b\x08\x00", "no UTF-8 text"),
    "key twice": (b"seeds: [0]\nseeds: [1]\n", "line 2: the key 'seeds' is given twice"),
    "nested key twice": (b"attack: {eps: 1.0, steps: 3, eps: 0.5}", "the key 'eps' is given twice"),
    "merge twice": (
        b"a: &a {x: 1}\nb: &b {x: 2}\nc:\n  <<: *a\n  <<: *b\n",
        "line 5: the key '<<' is given twice",
    ),
    "merge of a number": (b"a:\n  <<: 3\n", "line 2"),
    "number for a key": (b"5: x\n", "a key must be text, given 5"),
    "boolean for a key": (b"reconstruction: {on: {}}", "a key must be text, given on"),
    "null for a key": (b"~: x\n", "a key must be text, given ~"),
    "list for a key": (b"? [a, b]\n: x\n", "a key must be text, given a list or mapping"),
    "octal": (b"seeds: [010]", "010 means another number in YAML"),
    "base 60": (b"attack: {steps: 1:30}", "1:30 means another number in YAML"),
    "date": (b"attack: {eps: 2024-01-01}", "the tag 'timestamp' is not allowed here"),
    "python": (b"a: !!python/object/apply:os.system ['true']", "python/object/apply:os.system"),
    "python name": (b"a: !!python/name:os.system", "python/name:os.system"),
    "own tag": (b"a: !include /etc/passwd", "'!include' is not allowed here"),
    "set": (b"seeds: !!set {a, b}", "the tag 'set' is not allowed here"),
    "binary": (b"a: !!binary aGVsbG8=", "the tag 'binary' is not allowed here"),
    "tag that lies": (b"seeds: [!!int x]", "a value is not what its tag says"),
    "boolean that is none": (b"together: !!bool maybe", "a value is not what its tag says"),
    "huge number": (b"seeds: [" + b"9" * 5000 + b"]", "not valid YAML"),
    "deep": (b"[" * 5000 + b"]" * 5000, "nested deeper than 30 levels"),
    "deep mapping": (b"".join(b" " * n + b"a:\n" for n in range(200)), "nested deeper than 30 levels"),
    "deep by aliases": (
        b"x0: &x0 [1]\n" + b"".join(b"x%d: &x%d [*x%d]\n" % (n, n, n - 1) for n in range(1, 400)),
        "30 levels",
    ),
    "recursive list": (b"a: &a [*a]", "an alias within the value that it stands for"),
    "recursive mapping": (b"a: &a {b: *a}", "an alias within the value that it stands for"),
    "bomb of lists": (bomb(12, "[", "]", "[1]").encode(), "50,000 values"),
    "bomb of merges": (bomb(12, "{<<: [", "]}", "{k: 1}").encode(), "50,000 values"),
    "bomb of mappings": (
        "\n".join(["x0: &x0 {k: 1}"] + [
            f"x{n}: &x{n} {{{', '.join(f'k{i}: *x{n - 1}' for i in range(9))}}}" for n in range(1, 12)
        ]).encode(),
        "50,000 values",
    ),
    "missing alias": (b"a: *b", "undefined alias"),
    "too large": (b"# " + b"x" * 300_000, "larger than a configuration may be, 256 KiB"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
def test_a_file_is_refused_by_name_and_line(tmp_path, kind):
    """As a scale file, and as one of `--configfile`: Snakemake has taken it by then."""
    content, part = TEXTS[kind]
    path = tmp_path / "hostile.yaml"
    path.write_bytes(content)
    for text in (refused({"scale": str(path)}), refused({}, [path])):
        assert text.startswith(f"{path}: ") and part in text


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    path = tmp_path / "marked.yaml"
    path.write_text(TINY.read_text(), encoding="utf-8-sig")
    assert config.load({"scale": str(path)}).seeds == [0]


def test_a_merge_key_and_what_overrides_it_are_no_mistake(tmp_path):
    path = tmp_path / "merged.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: {x: 3, <<: [*a, {y: 4, z: 5}]}\n")
    found = strict_yaml.read_yaml(path)
    assert found["b"] == {"x": 3, "y": 2} and found["c"] == {"x": 3, "y": 2, "z": 5}


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "missing"])
def test_a_configuration_that_is_no_file(tmp_path, kind):
    path = tmp_path / "x.yaml"
    {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "missing": lambda: None}.get(
        kind, lambda: path.symlink_to("/dev/zero")
    )()
    assert str(path) in refused({"scale": str(path)})


NAMES = [
    "", ".", "..", "...", "../../../../x", "/etc/x", "a/b", "a..b", "-x", ".x", "_x", "a b", " a", "a\n",
    "a\nb", "a\tb", "{seed}", "a{b", "$(touch X)", "`touch X`", "a;b", "a|b", "a&b", "a'b", 'a"b', "a\\b",
    "*", "a?", "~a", "#a", "a=b", "a,b", "mnıst", "ｍnist", "mnist\u200b", "a\u0301", "a\x00b", "a" * 65,
]  # fmt: skip


def settings(*keys, value=None):
    """Settings with one value at a place."""
    for key in reversed(keys):
        value = {key: value}
    return value


BUDGET = {"epochs": 1, "retrain_epochs": 1}
# Every place whose key or value becomes a path or a word of a command
PLACES = {
    "attacks": lambda n: settings("attacks", n, value={}),
    "models": lambda n: settings("models", n, value={"network": "dense", "samples": "random"}),
    "reconstruction": lambda n: settings("reconstruction", n, value={"data": "mnist-5k@40", "models": {}}),
    "reconstruction.mnist.models": lambda n: settings("reconstruction", "mnist", "models", n, value=BUDGET),
    "methods": lambda n: {"methods": [n]},
    "contrastive.dataset": lambda n: settings("contrastive", "dataset", value=n),
    "supervised.classifiers": lambda n: settings(
        "supervised", "classifiers", n, value=SCALE["supervised"]["classifiers"]["mnist"]
    ),
    "supervised.compared": lambda n: settings(
        "supervised", "compared", n, value={"attack": "minmax", "critic": "vanilla"}
    ),
    "supervised.table2.layers": lambda n: settings("supervised", "table2", "layers", n, value=None),
    "robustness.uaes": lambda n: settings(
        "robustness", "uaes", n, value=SCALE["robustness"]["uaes"]["mnist"]
    ),
    "robustness.models": lambda n: settings("robustness", "models", n, value={}),
    "robustness.models.mnist": lambda n: settings(
        "robustness", "models", "mnist", n, value=SCALE["robustness"]["models"]["mnist"]["classifier"]
    ),
    "reconstruction.mnist.data": lambda n: settings("reconstruction", "mnist", "data", value=n),
    "figure5": lambda n: {"figure5": [{"dataset": n, "model": "dense", "method": "mine-uae"}]},
    "theorem1": lambda n: settings("theorem1", "method", value=n),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_would_be_a_path_or_a_command_is_refused(place):
    for name in NAMES:
        assert place.split(".")[0] in refused(config.merge({"scale": str(TINY)}, PLACES[place](name)))


@pytest.mark.parametrize("name", NAMES)
def test_a_scale_files_name_is_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    if name and "/" not in name and "\x00" not in name:
        (tmp_path / f"{name}.yaml").write_text(TINY.read_text())
    for scale in (name, f"{name}.yaml", f"{tmp_path}/{name}.yaml"):
        assert refused({"scale": scale}).startswith("scale: ")
    assert refused({"scale": f"{LONG}.yaml"}).startswith("scale: ")
    assert refused({"scale": "b/" * 3000 + "a.yaml"}).startswith("scale: ")


@pytest.mark.parametrize("name", ["a", "A1", "mnist-5k@60+flip", "my_model.v2", "a" * 64])
def test_names_that_the_field_uses_are_names(tmp_path, name):
    assert values.name(name) == name
    (tmp_path / f"{name}.yaml").write_text(TINY.read_text())
    assert config.load({"scale": str(tmp_path / f"{name}.yaml")}).name == name


@pytest.mark.parametrize(
    "name", ["matched", "original", "ga-0.01", "mine-uae-2", "x-to-clean", "inner-steps-2"]
)
def test_an_attack_is_not_called_as_a_method(name):
    assert f"attacks: {name!r}" in refused({"attacks": {name: {}}})


ROBUST = ("robustness", "models", "mnist", "classifier")
# Where, what is given, and what the message says of it. As YAML gives it, not as the command line does.
VALUES = [
    (("seeds",), [0, 0], "0 is given twice"),
    (("seeds",), ["1", 1], "1 is given twice"),
    (("seeds",), [True], "valid integer, given True"),
    (("seeds",), [1.0], "valid integer, given 1.0"),
    (("seeds",), [-1], "greater than or equal to 0"),
    (("seeds",), [2**63], "less than 9223372036854"),
    (("seeds",), [10**400], "more than 90 digits"),
    (("seeds",), list(range(1001)), "at most 1000"),
    (("seeds",), [[[0]]], "valid integer"),
    (("seeds",), None, "valid list"),
    (("seeds",), {"0": 1}, "valid list"),
    (("methods",), ["matched", "matched"], "matched is given twice"),
    (("methods",), "matched", "valid list"),
    (("figure5",), SCALE["figure5"] * 2, "is given twice"),
    (("gaussian_draws",), True, "valid integer"),
    (("gaussian_draws",), 10**6, "less than or equal to 1000"),
    (("gaussian_draws",), 0, "greater than or equal to 1"),
    (("together",), 1, "true or false"),
    (("together",), "maybe", "boolean"),
    (("attack",), None, "given None"),
    (("attack",), [], "given []"),
    (("attacks",), None, "attacks"),
    (("models",), None, "models"),
    (("reconstruction",), None, "reconstruction"),
    (("reconstruction", "mnist"), None, "given None"),
    (("robustness", "models", "mnist"), None, "given None"),
    (("supervised",), "x", "given 'x'"),
    (("attack", "eps"), True, "valid number"),
    (("attack", "eps"), math.nan, "finite"),
    (("attack", "eps"), -math.inf, "finite"),
    (("attack", "eps"), ".inf", "valid number"),
    (("attack", "eps"), 1e300, "less than or equal to 1000000"),
    (("attack", "alpha"), 1e-300, "at least 1e-12"),
    (("attack", "mi_floor"), False, "valid number"),
    (("attack", "mi_floor"), -1e300, "greater than or equal to -1000000"),
    (("attack", "squared"), 0, "true or false"),
    (("attack", "steps"), 40.0, "valid integer"),
    (("attack", "steps"), "1e999999999", "valid integer"),
    (("attack", "steps"), 10**9, "less than or equal to 1000000"),
    (("attack", "random_sampling", "count"), 10**12, "less than or equal to 1000000"),
    (("attack", "critic"), {"vanilla": 1}, "'vanilla' or 'released'"),
    (("train_limit",), -5, "greater than or equal to 1"),
    (("train_limit",), {"cpu": 5, "cuda": None}, "valid integer"),
    (("train_limit",), 0, "greater than or equal to 1"),
    (("reconstruction", "mnist", "models", "dense", "epochs"), 10**7, "less than or equal to 1000000"),
    (("reconstruction", "mnist", "models", "dense", "lr"), "1e-999", "greater than 0"),
    (("reconstruction", "mnist", "models", "dense", "arguments"), {"latent": -8}, "-8 is not a number"),
    (("reconstruction", "mnist", "models", "dense", "arguments"), {"latent": 10**30}, "not a number from 0"),
    (("reconstruction", "mnist", "models", "dense", "arguments"), {"x": math.nan}, "nan is not a number"),
    (("reconstruction", "mnist", "models", "dense", "arguments"), {"x": [1] * 2000}, "a short list"),
    (("reconstruction", "mnist", "models", "dense", "arguments"), {"x": {1, 2}}, "is not a number, text"),
    (("reconstruction", "mnist", "data"), "mnist-5k@" + "9" * 5000, "at most 100 characters"),
    (("reconstruction", "mnist", "data"), "mnist-5k@99999999", "only"),
    (("supervised", "figure3", "eps"), [0.1, 0.1000000001], "0.1 is given twice"),
    (("supervised", "table2", "eps"), [1.0, 1.0], "1 is given twice"),
    (("supervised", "table2", "eps"), [1.0], "Field required"),
    (("supervised", "table2", "runs"), 10**6, "less than or equal to 1000"),
    (("supervised", "searches"), 0, "greater than or equal to 1"),
    (("supervised", "inception"), "$(touch X)", "a path has letters"),
    (("supervised", "inception"), "https://x/`touch X`", "an address has letters"),
    (("supervised", "inception"), "a" * 5000, "a path has letters"),
    (("supervised", "inception"), "a" * 500, "no such file"),
    (("supervised", "compared", "minmax", "restart_critic"), 1, "true or false"),
    (("contrastive", "width"), 12, "multiple of 8"),
    (("contrastive", "batch_size"), 1, "greater than or equal to 2"),
    ((*ROBUST, "eps"), ["1e999999999"], "neither a number nor a fraction"),
    ((*ROBUST, "eps"), ["1/1e-300"], "neither a number nor a fraction"),
    ((*ROBUST, "eps"), ["8/0"], "neither a number nor a fraction"),
    ((*ROBUST, "eps"), ["-8/255"], "neither a number nor a fraction"),
    ((*ROBUST, "eps"), ["8/255/2"], "neither a number nor a fraction"),
    ((*ROBUST, "eps"), ["1/" + "3" * 10_000], "neither a number nor a fraction"),
    ((*ROBUST, "eps"), ["٨/255"], "neither a number nor a fraction"),
    ((*ROBUST, "eps"), ["nan"], "neither a number nor a fraction"),
    ((*ROBUST, "eps"), ["8/255", 8 / 255], "is given twice"),
    ((*ROBUST, "eps"), ["0/255"], "greater than 0"),
    ((*ROBUST, "eps"), [True], "valid number"),
    ((*ROBUST, "methods"), ["original", "original"], "original is given twice"),
    ((*ROBUST, "checkpoint"), "../{seed}.pt", "a path has letters"),
    ((*ROBUST, "checkpoint"), "x/-rf", "a path has letters"),
    ((*ROBUST, "checkpoint"), "/", "no such file"),
    ((*ROBUST, "cpu"), {"images": 1}, "cpu: no such key"),
    (("only",), "", "no dataset/model matches"),
    (("only",), 5, "valid string"),
    (("scale",), None, "is neither one of"),
    (("scale",), ["preview"], "is neither one of"),
    (("device",), True, "'auto', 'cpu' or 'cuda'"),
    (("x\ny",), 1, "no such key"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "value", "part"), VALUES, ids=lambda v: str(v)[:40])
def test_a_value_is_refused_with_its_key(tmp_path, keys, value, part):
    given = copy.deepcopy({"scale": str(TINY)})
    block = given
    for key in keys[:-1]:
        block = block.setdefault(key, {})
    block[keys[-1]] = value
    text = refused(given)
    assert part in text and (keys[0] in text or not keys[0].isprintable())


def test_the_file_of_a_wrong_setting_is_named(tmp_path):
    """The last one that states it wins; the same value on the command line is taken for it."""
    scale = copy.deepcopy(SCALE)
    scale["attack"]["eps"] = -1
    (tmp_path / "scale.yaml").write_text(yaml.safe_dump(scale))
    (tmp_path / "one.yaml").write_text("attack: {eps: -2}")
    (tmp_path / "two.yaml").write_text("attack: {eps: -3}")
    files, given = [], {"scale": str(tmp_path / "scale.yaml")}
    for name in ("scale", "one", "two"):
        if name != "scale":
            files.append(tmp_path / f"{name}.yaml")
            given = config.merge(given, config.read_yaml(files[-1]))
        assert refused(given, files).startswith(f"{tmp_path / name}.yaml: attack.eps: ")
    given = config.merge(given, {"attack": {"eps": "-4"}})
    assert refused(given, files).startswith("the command line or --configfile: attack.eps: ")


def test_the_command_lines_texts_are_numbers():
    """Snakemake gives what stands in a nested value as text."""
    over = {"attack": {"eps": "0.5", "steps": "7", "squared": "true"}, "seeds": ["3", "4"]}
    cfg = config.load(config.merge({"scale": str(TINY)}, over))
    assert (cfg.attack.eps, cfg.attack.steps, cfg.attack.squared, cfg.seeds) == (0.5, 7, True, [3, 4])
    eps = settings(*ROBUST, value={"eps": ["8/255", "16 / 255", "1e-1"]})
    cfg = config.load(config.merge({"scale": str(TINY)}, eps))
    assert cfg.robustness.models["mnist"]["classifier"].eps == [8 / 255, 16 / 255, 0.1]


def said(**settings):
    cfg = config.load(settings)
    return plan.summary(cfg, plan.plan(cfg), "cpu").split("; ")


def test_a_run_says_its_scale_rows_device_data_and_reductions():
    rows, device, *more = said(scale=str(TINY), only="*/dense,svhn/*")
    assert (rows, device) == ("Scale tiny: 2 rows (mnist/dense, svhn/sparse)", "device cpu")
    assert more[0] == "reduced data mnist-5k@40, mnist-5k@60"
    assert said(scale=str(TINY))[0].endswith("mnist/convolutional, svhn/sparse, ...)")
    # The paper's data and settings; a part of the data; other settings
    assert said(scale="paper", only="mnist/dense")[1:] == ["device cpu", "data mnist"]
    part = said(scale="paper", only="mnist/dense", train_limit=500)
    assert part[2:] == ["reduced data mnist@500"]
    short = said(scale="paper", only="mnist/dense", models={"dense": {"lr": 0.5}})
    jobs = plan.plan(config.load({"scale": "paper", "only": "mnist/dense"})).values()
    trainings = sum(job.stage == "train" for job in jobs)
    assert short[3:] == [f"{trainings} of {len(jobs)} jobs with other settings than scale paper"]
    frozen = said(scale="paper", records="frozen")
    assert frozen == ["Scale paper, frozen records: tables and figures are rendered only"]
