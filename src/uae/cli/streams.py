"""Standard streams whose failure is not an error: a command that has written its file has succeeded."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO


class Display:
    """A stream that drops all further text after it fails."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except (OSError, ValueError) as error:  # the stream is full or broken, or closed
            self._drop(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._drop(error)

    def _drop(self, error: OSError | ValueError) -> None:
        if getattr(error, "errno", None) in (errno.EAGAIN, errno.EINTR):
            return
        # Drop the rest of the buffer, too; otherwise Python reports an error when it exits
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, self._stream.fileno())
        except (OSError, ValueError):
            self._stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        os.close(nowhere)


def prepare(result_on_stdout: bool) -> None:
    """Make the standard streams accept any text, and ignore failures unless the result goes there."""
    for number in range(3):  # or the next file, perhaps the result, gets a closed stream's number
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    closed = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
            closed.append(name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, stream if result_on_stdout and name == "stdout" else Display(stream))
    if result_on_stdout and "stdout" in closed:
        raise OSError(errno.EBADF, "cannot write the result: standard output is closed")
