"""Mistakes of input rather than of code: the command line shows their message and no traceback."""


class InputError(ValueError):
    """Base of the errors below; the message names the file, key or sample and what to do."""


class ConfigError(InputError):
    """A configuration that can't be used."""


class DataError(InputError):
    """A data file that can't be had, or is not what it should be."""


class BadFile(InputError):
    """A file of the pipeline that is missing a part, truncated or of another kind."""


class Diverged(InputError):
    """A training whose loss is no longer finite."""
