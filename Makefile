# make        sets up .venv and runs the preview
# make test   runs the tests, make test-fast those of them that take seconds
# make gpu  runs the list of benchmarks/gpu.yaml on a GPU within ten minutes; make gpu-pack makes what it takes along
# make docs builds the pages of docs/ as a site in site/
# make figures renders the committed records: a small set of packages, no PyTorch
# make release builds in release/<version>/ what a release publishes
# TORCH_INDEX=<address> takes PyTorch from an index of your choice: docs/packaging.md
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := preview
.PHONY: preview figures test test-fast docs gpu gpu-pack generated lint release clean

preview: .venv/installed
	$(BIN)/snakemake --cores all --resources gpu=1

# From the committed records alone, with what is installed or else with the few packages that takes.
RENDER_BIN = $(if $(wildcard .venv/installed),$(BIN),.venv-render/bin)
figures: $(if $(wildcard .venv/installed),,.venv-render/installed)
	$(RENDER_BIN)/uae render all --scale paper --out results/paper

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -rs $(PYTEST_ARGS)

# For daily work: without the tests that take minutes (tests/conftest.py)
test-fast: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(PYTEST_ARGS) tests/unit

# As a site, in site/: a broken link or a docstring that does not parse fails
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# With .venv, or else any Python that has PyTorch: GPU_ARGS="--minutes 4" and the like.
GPU_PYTHON = $(if $(wildcard .venv/installed),$(BIN)/python,$(PYTHON))
gpu:
	$(GPU_PYTHON) benchmarks/gpu.py $(GPU_ARGS)

gpu-pack: .venv/installed
	$(BIN)/python benchmarks/gpu_pack.py $(GPU_ARGS)

# What is written from the code: the configuration's schema and keys, and the rules as a picture
generated: .venv/installed
	$(BIN)/uae config --schema > config/schema.json
	$(BIN)/uae config --keys > config/README.md
	$(BIN)/snakemake --forceall --config scale=paper --rulegraph dot | dot -Grankdir=LR -Tsvg > docs/pipeline.svg

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/mypy

# RELEASE_ARGS="--results FOLDER" where the checkpoints of the paper scale lie elsewhere
release: .venv/installed
	$(BIN)/python tools/release.py $(RELEASE_ARGS)

# uv where it is there and finds the packages, pip otherwise: the same lock, with hashes. It is complete, so nothing is resolved.
UV := $(shell uv --version > /dev/null 2>&1 && echo uv)
INSTALL = $(if $(UV),uv pip install --quiet --compile-bytecode --python $(1)/bin/python $(2) || )$(1)/bin/python -m pip \
    install --quiet --disable-pip-version-check $(2)

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	@echo "Installing into .venv: some minutes, several GB (PyTorch)"
	$(if $(TORCH_INDEX),$(TORCH_FROM_INDEX))
	$(call INSTALL,.venv,--no-deps -r $(if $(TORCH_INDEX),.venv/)requirements.txt)
	$(call INSTALL,.venv,--no-deps --no-build-isolation -e .)
	@touch $@

# A CPU build needs none of the CUDA packages in the lock. Its index is the user's choice, and so are its hashes.
define TORCH_FROM_INDEX
@awk '/^[^ ]/ {kept = !/^(torch|torchvision|triton|(cuda|nvidia)-[a-z0-9-]+)==/} kept' requirements.txt > .venv/requirements.txt
	@pins=$$(grep -oE '^(torch|torchvision)==[^ ]+' requirements.txt); \
	    { $(call INSTALL,.venv,--no-deps --index-url $(TORCH_INDEX) $$pins); } > .venv/torch.log 2>&1 || \
	    { echo "TORCH_INDEX=$(TORCH_INDEX):" $$pins "could not be had there: check address and connection; .venv/torch.log has the details" >&2; exit 1; }
endef

# The versions are those of requirements.txt. Without its hashes: constraints with hashes are for pinned names alone.
.venv-render/installed: requirements.txt
	$(PYTHON) -m venv .venv-render
	sed -n 's/^\([^ ].*\) \\$$/\1/p' requirements.txt > .venv-render/constraints.txt
	$(call INSTALL,.venv-render,-c .venv-render/constraints.txt setuptools jinja2 matplotlib numpy pandas pydantic \
	    pyyaml rich safetensors scipy snakemake typer)
	$(call INSTALL,.venv-render,--no-deps --no-build-isolation -e .)
	@touch $@

clean:
	rm -rf results/preview logs/preview benchmarks/jobs/preview
