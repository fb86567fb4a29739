"""`make gpu` rehearsed on the CPU with tiny sizes: a run, a stop, going on, and a pack that travels."""

from __future__ import annotations

import argparse
import ast
import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import yaml

from benchmarks import gpu, gpu_pack
from tests.workflow.conftest import ROOT, Workspace, copy
from uae import config, metadata

METHODS = ["original", "mine-uae-released"]
TINY = [
    {"name": "autoencoders", "rows": ["mnist/dense"], "methods": METHODS, "data": ["mnist-5k@60"]},
    {
        "name": "robust",
        "experiment": "robustness",
        "rows": ["mnist/classifier"],
        "methods": METHODS,
        "data": ["mnist-5k@60"],
    },
]


def prepared(folder) -> Workspace:
    """A workspace with the benchmark, its tiny list and one quick test file."""
    workspace = copy(folder)
    shutil.copytree(
        ROOT / "benchmarks", folder / "benchmarks", ignore=shutil.ignore_patterns("jobs", "*.pyc")
    )
    (folder / "tests" / "unit").mkdir(parents=True)
    for name in ("__init__.py", "conftest.py", "naive.py", "unit/__init__.py", "unit/test_seeding.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests" / name)
    # A job for each file, as at the paper scale: together, what is there would be made again with what is not
    scale = folder / "config" / "scales" / "preview.yaml"
    scale.write_text(scale.read_text().replace("together: true", "together: false"))
    (folder / "tiny-list.yaml").write_text(yaml.safe_dump(TINY))
    workspace.run("git", "init", "-q")
    workspace.run("git", "add", "-A")
    return workspace


def go(workspace: Workspace, *arguments: str) -> dict:
    command = [
        "python",
        "benchmarks/gpu.py",
        "--scale",
        "preview",
        "--device",
        "cpu",
        "--cores",
        "2",
        "--jobs",
        "2",
    ]
    command += [
        "--list",
        "tiny-list.yaml",
        "--tests",
        "tests/unit/test_seeding.py",
        "--samples",
        "2",
        *arguments,
    ]
    workspace.run(*command)
    return json.loads((workspace.folder / "gpu-results" / "summary.json").read_text())


def test_a_rehearsal_on_the_cpu(tmp_path):
    workspace = prepared(tmp_path / "here")
    stopped = go(workspace, "--minutes", "0.35", "--skip", "tests", "speed")  # a second or so for jobs
    assert [step["ended"] for step in stopped["steps"]][-1] in ("stopped, out of time", "no time left")
    assert sum(step.get("records", 0) for step in stopped["steps"]) < 3

    found = go(workspace, "--minutes", "60")
    ended = {step["what"]: step["ended"] for step in found["steps"]}
    assert set(ended) >= {"GPU tests", "speed", "autoencoders", "robust"}
    assert set(ended.values()) == {"done"}
    counts = [(step["records"], step["of"]) for step in found["steps"] if "of" in step]
    assert counts == [(2, 2), (2, 2)]
    assert found["speed"]["attack"]["milliseconds_per_image"]["fast"] > 0
    errors = {row["record"]: row["metrics"]["test_error"] for row in found["records"][:2]}
    assert set(errors) == set(gpu.records(gpu.entries(workspace.folder / "tiny-list.yaml")[0]))
    text = (workspace.folder / "gpu-results" / "summary.md").read_text()
    assert all(path in text for path in errors) and "of the critic's limit" in text
    with tarfile.open(workspace.folder / "gpu-results" / "records.tar.gz") as archive:
        assert {f"results/preview/{path}" for path in errors} <= set(archive.getnames())

    again = go(workspace, "--minutes", "60", "--skip", "tests", "speed", "2")
    assert [step["ended"] for step in again["steps"]] == ["done"]
    made = workspace.files("results/preview/records")

    # The pack has what is done, and a checkout elsewhere goes on from it
    workspace.run("python", "benchmarks/gpu_pack.py", "--scale", "preview", "--list", "tiny-list.yaml")
    there = prepared(tmp_path / "there")
    shutil.copytree(workspace.folder / "gpu-pack", there.folder / "gpu-pack")
    before = (
        there.folder / "gpu-pack/results/checkpoints/mnist/dense/original/seed0.safetensors"
    ).read_bytes()
    assert go(there, "--minutes", "60", "--skip", "tests", "speed", "2")["steps"][-1]["records"] == 2
    after = there.folder / "results/preview/checkpoints/mnist/dense/original/seed0.safetensors"
    assert after.read_bytes() == before
    log = (there.folder / "gpu-results" / "1.log").read_text()
    assert "Prepare mnist-5k@60" in log and "Train" not in log
    assert set(there.files("results/preview/records")) <= set(made)


def test_the_list_asks_for_records_that_the_paper_scale_has():
    """Every entry's settings make a configuration, and its rows and methods are in it."""
    for entry in gpu.entries(gpu.LIST):
        cfg = config.load({"scale": "paper", **gpu.settings(entry)})
        assert {"/".join(row) for row in [*cfg.rows, *cfg.robust_rows]} >= set(entry["rows"]), entry["name"]
        for row in entry["rows"] if entry["experiment"] == "reconstruction" else []:
            methods = cfg.row_methods(config.Row(*row.split("/")))
            assert set(methods) == set(entry["methods"]) - {"original"}, row


def test_a_pack_takes_what_fits_in_the_lists_order(tmp_path, monkeypatch, capsys):
    mirror = tmp_path / "mirror"
    for folder, name in (("svhn", "svhn-test-first10k.npz"), ("isolet", "isolet.npz")):
        (mirror / folder).mkdir(parents=True)
        (mirror / folder / name).write_bytes(bytes(3000))
    listed = tmp_path / "list.yaml"
    entry = {"name": "x", "rows": ["svhn/dense"], "methods": ["original"], "seeds": [99]}
    done = {
        "name": "y",
        "rows": ["mice-protein/concrete"],
        "methods": ["original"],
        "data": ["mice-protein-csv"],
    }
    entries = [done, entry | {"data": ["isolet-npz"]}, entry | {"data": ["svhn-10k"]}]
    listed.write_text(yaml.safe_dump(entries))
    checkout = sum((ROOT / path).stat().st_size for path in gpu_pack._tracked())
    monkeypatch.setattr(gpu_pack, "MOST", checkout + 5000)
    arguments = [
        "gpu_pack.py",
        "--pack",
        str(tmp_path / "pack"),
        "--mirror",
        str(mirror),
        "--list",
        str(listed),
    ]
    monkeypatch.setattr("sys.argv", arguments)
    gpu_pack.main()
    assert (tmp_path / "pack" / "mirror" / "isolet" / "isolet.npz").exists()
    assert not (tmp_path / "pack" / "mirror" / "svhn").exists()
    assert not (tmp_path / "pack" / "mirror" / "mice-protein").exists()  # its record is in the checkout
    assert "svhn-test-first10k.npz: left out" in capsys.readouterr().out
    (mirror / "isolet" / "isolet.npz").unlink()
    with pytest.raises(SystemExit, match=r"isolet/isolet\.npz: in none of"):
        gpu_pack.main()


def test_the_summary_counts_a_shared_training_once(tmp_path):
    for name, seconds in (("a", 2.0), ("b", 3.0)):
        provenance = {"training": {"seconds": 60.0}, "evaluation": {"seconds": seconds}}
        text = json.dumps({"dataset": "mnist", "model": "madry", "provenance": provenance, "metrics": {}})
        (tmp_path / f"{name}.json").write_text(text)
    rows = gpu._rows(tmp_path, ["a.json", "missing.json", "b.json"])
    assert [row["seconds"] for row in rows] == [62.0, 3.0]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A call in a checkout with one record, of which a pack has the checkpoint."""
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "MOST_FILE", 5000)
    monkeypatch.setattr(sys, "path", [*sys.path])
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    monkeypatch.setattr(gpu_pack, "environment", lambda pack: environment)
    results, pack = tmp_path / "results" / "paper", tmp_path / "pack"
    for path in (results / RECORDS[0], pack / "results" / CHECKPOINTS[0]):
        write(path, 100)
        os.utime(path, (1, 1))
    given = {"out": tmp_path / "out", "pack": pack, "scale": "paper", "cores": 1, "jobs": 1, "device": "cpu"}
    return gpu.Run(argparse.Namespace(**given, minutes=1))


ENTRY = {"name": "x", "rows": ["mnist/sparse", "coil-20/concrete"], "methods": ["original", "matched"]}
ENTRY |= {"seeds": [0], "experiment": "reconstruction", "settings": {}, "data": []}
RECORDS = gpu.records(ENTRY)
CHECKPOINTS = [
    path.replace("records/reconstruction", "checkpoints").replace(".json", ".safetensors") for path in RECORDS
]


def write(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    provenance = {"evaluation": {"seconds": 1.0}}
    content = {"dataset": "d", "model": "m", "provenance": provenance, "metrics": {}}
    path.write_text(json.dumps(content) + " " * size)


def test_the_archives_have_what_was_made_in_the_lists_order(run, tmp_path):
    results = tmp_path / "results" / "paper"
    assert (results / CHECKPOINTS[0]).exists()  # from the pack
    sizes = dict(zip(CHECKPOINTS[1:], (3000, 4000, 1000), strict=True))
    for path, size in [*sizes.items(), (RECORDS[1], 10), (CHECKPOINTS[1].replace("checkpoints", "uae"), 10)]:
        write(results / path, size)
    (results / "metadata.json.gz").write_bytes(b"x")
    run.summary(RECORDS)
    found = {}
    for kind in ("records", "checkpoints", "uae"):
        with tarfile.open(tmp_path / "out" / f"{kind}.tar.gz") as archive:
            found[kind] = [name.removeprefix("results/paper/") for name in archive.getnames()]
    assert found["records"] == ["metadata.json.gz", RECORDS[1]]
    assert found["checkpoints"] == [CHECKPOINTS[1], CHECKPOINTS[3]]  # the second does not fit
    assert len(found["uae"]) == 1
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["left out"] == [f"results/paper/{CHECKPOINTS[2]}"]
    assert [row["record"] for row in summary["records"]] == [RECORDS[1]]  # not the committed one
    assert summary["left out"][0] in (tmp_path / "out" / "summary.md").read_text()


def test_a_committed_record_is_neither_made_nor_counted(run, tmp_path, monkeypatch):
    results, asked = tmp_path / "results" / "paper", []

    def call(name, command, log):
        asked.append([word.removeprefix("results/paper/") for word in command[command.index("--") + 1 :]])
        write(results / RECORDS[1], 10)
        run.done.append({})
        return "done"

    monkeypatch.setattr(run, "call", call)
    run.entry(1, ENTRY)
    assert asked == [RECORDS[1:]] and run.done[-1] == {"records": 1, "of": 3}
    run.entry(2, ENTRY)  # what an earlier call made is asked for again: Snakemake knows whether it is whole
    assert asked[1] == RECORDS[1:]
    run.entry(3, ENTRY | {"rows": ["mnist/sparse"], "methods": ["original"]})
    assert len(asked) == 2 and run.done[-1]["ended"] == "there already"


def test_a_run_that_was_stopped_packs_its_metadata(run, tmp_path, monkeypatch):
    def call(name, command, log):
        live = tmp_path / ".snakemake" / "metadata"
        live.mkdir(parents=True)
        path = metadata.path_of(f"results/paper/{RECORDS[1]}", live)
        known = {"rule": "x", "input": [], "params": [], "input_checksums": {}, "record_format_version": 6}
        path.write_text(json.dumps(known))
        run.done.append({})
        return "stopped, out of time"

    monkeypatch.setattr(run, "call", call)
    run.entry(1, ENTRY)
    packed = json.loads(gzip.decompress((run.results / "metadata.json.gz").read_bytes()))["metadata"]
    assert [metadata.output_of(name) for name in packed] == [f"results/paper/{RECORDS[1]}"]


BARE = """
import importlib.util, sys
sys.path.insert(0, {root!r})
found = importlib.util.find_spec  # as where neither Snakemake nor this package nor PyYAML is installed
importlib.util.find_spec = lambda name: None if name == "snakemake" else found(name)
sys.modules["yaml"] = None
from pathlib import Path
from types import SimpleNamespace
from benchmarks import gpu
del sys.modules["yaml"]
sys.path = [path for path in sys.path if "site-packages" not in path]
given = SimpleNamespace(out=Path("out"), scale="preview", pack=Path("pack").resolve())
gpu.Run(given)
print(gpu.entries(Path("list.yaml")))
"""


def wheel(folder, name, source):
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-1-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", source)
        about = f"{name}-1.dist-info"
        file.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")


def test_a_bare_machine_takes_the_pack_s_packages(tmp_path):
    """Also where a call without them came before, or the pack was filled again."""
    program = BARE.format(root=str(ROOT))

    def call():
        command = [sys.executable, "-c", program]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    (tmp_path / "list.yaml").touch()
    assert "No module named 'yaml'" in call().stderr  # there are no wheels yet
    for text in ("one", "two"):
        wheel(tmp_path / "pack" / "wheels", "yaml", f"def safe_load(text): return [{{'name': {text!r}}}]")
        wheel(tmp_path / "pack" / "wheels", f"other_{text}", "")
        found = call()
        assert f"'name': '{text}'" in found.stdout, found.stderr


def test_the_wheels_have_what_the_gpu_tests_import(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, **options: commands.append(command))
    gpu_pack._wheels(tmp_path / "wheels", "3.12")
    carried = {str(word).partition("==")[0].replace("-", "_") for command in commands for word in command}
    there = gpu_pack.THERE | {"uae", "tests", *sys.stdlib_module_names}
    for name in [*gpu.TESTS, "tests/conftest.py", "tests/naive.py", "benchmarks/gpu.py"]:
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = getattr(node, "module", None) or node.names[0].name
                top = {"yaml": "pyyaml", "benchmarks": "uae"}.get(module.split(".")[0], module.split(".")[0])
                assert top in carried | there, f"{name} imports {module}"


def test_an_unknown_key_of_the_list_is_named(tmp_path):
    path = tmp_path / "list.yaml"
    path.write_text(yaml.safe_dump([{"name": "x", "row": ["mnist/dense"]}]))
    with pytest.raises(SystemExit, match="'x' has the unknown key row"):
        gpu.entries(path)
