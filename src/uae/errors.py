"""Errors of the input, not of the code: the command line shows their message without a traceback."""


class InputError(ValueError):
    """Base of the errors below. The message names the file, key or sample, and says what to do."""


class ConfigError(InputError):
    """A configuration that can't be used."""


class DataError(InputError):
    """A data file that cannot be downloaded, or whose content is wrong."""


class BadFile(InputError):
    """A file of the pipeline that lacks a part, is truncated, or is of another kind."""


class Unreadable(BadFile):
    """A file that the system does not let us read. It may be whole."""


class Diverged(InputError):
    """A training diverged: its loss is no longer finite."""
