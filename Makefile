# make           sets up .venv and runs the preview
# make test      runs all tests
# make test-fast runs the tests that take seconds
# make figures   renders the committed records; needs only a few packages and no PyTorch
# make docs      builds the pages of docs/ as a site in site/
# make gpu       runs the list in benchmarks/gpu.yaml on a GPU, within ten minutes
# make gpu-pack  packs the files that `make gpu` needs on another machine
# make release   builds the files of a release in release/<version>/
# TORCH_INDEX=<address> takes PyTorch from another index: see docs/packaging.md
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := preview
.PHONY: preview figures test test-fast docs gpu gpu-pack generated lint release clean

preview: .venv/installed
	$(BIN)/snakemake --cores all --resources gpu=1

# Needs only the committed records. Uses .venv if it exists, else a small environment.
RENDER_BIN = $(if $(wildcard .venv/installed),$(BIN),.venv-render/bin)
figures: $(if $(wildcard .venv/installed),,.venv-render/installed)
	$(RENDER_BIN)/uae render all --scale paper --out results/paper

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -rs $(PYTEST_ARGS)

# For daily work: leaves out the tests that take minutes (tests/conftest.py)
test-fast: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(PYTEST_ARGS) tests/unit

# Builds the site in site/. A broken link or an invalid docstring is an error
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Uses .venv, or else any Python that has PyTorch. Options: GPU_ARGS="--minutes 4"
GPU_PYTHON = $(if $(wildcard .venv/installed),$(BIN)/python,$(PYTHON))
gpu:
	$(GPU_PYTHON) benchmarks/gpu.py $(GPU_ARGS)

gpu-pack: .venv/installed
	$(BIN)/python benchmarks/gpu_pack.py $(GPU_ARGS)

# Writes the files generated from the code: the configuration's schema and keys, and the picture of the rules
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

# Set RELEASE_ARGS="--results FOLDER" if the checkpoints of the paper scale are elsewhere
release: .venv/installed
	$(BIN)/python tools/release.py $(RELEASE_ARGS)

# Installs with uv if it is installed and finds the packages, else with pip. The lock is complete and has hashes, so nothing is resolved.
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

# A CPU build needs none of the CUDA packages in the lock. The user chooses its index, so its hashes are not checked.
define TORCH_FROM_INDEX
@awk '/^[^ ]/ {kept = !/^(torch|torchvision|triton|(cuda|nvidia)-[a-z0-9-]+)==/} kept' requirements.txt > .venv/requirements.txt
	@pins=$$(grep -oE '^(torch|torchvision)==[^ ]+' requirements.txt); \
	    { $(call INSTALL,.venv,--no-deps --index-url $(TORCH_INDEX) $$pins); } > .venv/torch.log 2>&1 || \
	    { echo "TORCH_INDEX=$(TORCH_INDEX):" $$pins "could not be installed from it: check address and connection; .venv/torch.log has the details" >&2; exit 1; }
endef

# The versions are those of requirements.txt, without its hashes: pip allows hashes only for pinned names.
.venv-render/installed: requirements.txt
	$(PYTHON) -m venv .venv-render
	sed -n 's/^\([^ ].*\) \\$$/\1/p' requirements.txt > .venv-render/constraints.txt
	$(call INSTALL,.venv-render,-c .venv-render/constraints.txt setuptools jinja2 matplotlib numpy pandas pydantic \
	    pyyaml rich safetensors scipy snakemake typer)
	$(call INSTALL,.venv-render,--no-deps --no-build-isolation -e .)
	@touch $@

clean:
	rm -rf results/preview logs/preview benchmarks/jobs/preview
