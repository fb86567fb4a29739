#!/usr/bin/env bash
# Snakemake runs this in the environment that it made from environment.yml (--sdm conda): the rules' command is this checkout's.
set -euo pipefail
python -m pip install --no-deps --no-build-isolation -e .
