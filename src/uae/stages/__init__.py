"""The workflow's stages: files in, one file out (evaluation: a record a checkpoint).

The rules call them through `uae.cli`; they know nothing of Snakemake. `settings` is what
`uae.config.Config` gives a job.
"""

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
