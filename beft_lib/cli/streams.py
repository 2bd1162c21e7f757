"""Output that never stops the work: to a pipe that was closed, or in an encoding that lacks a character."""

import contextlib
import os
import sys
from typing import Any, TextIO, cast


class Steady:
    """A text stream that goes on to nowhere when its reader has gone away, as `head` does after its last line."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, or nothing where nobody reads; its length."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._let_go()
            return len(text)

    def flush(self) -> None:
        """Hand on what was written."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._let_go()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _let_go(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        with contextlib.suppress(OSError):
            self._stream.flush()  # what it held back goes to nowhere


def steady() -> None:
    """Make standard output and error steady; characters that they cannot encode are written as codes (`\\u5dee`)."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, Steady):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, cast(TextIO, Steady(stream)))
