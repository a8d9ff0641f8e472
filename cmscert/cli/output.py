"""Where words go: the result on stdout (or into a file), everything else on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast

from cmscert.errors import Fault, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cmscert.app.ports import Note
    from cmscert.errors import CmscertError, NodeError

LogForm = Literal["text", "json"]
NARROW = 80
WIDE = 200


class Outlasting:
    """A stream for whoever sits there. When nobody does any more, words go nowhere, and nothing fails for that."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        """Be the stream in all other respects."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write to whoever is still there."""
        with suppress(OSError), abandoned(self._stream):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Send what was written on its way."""
        with suppress(OSError), abandoned(self._stream):
            self._stream.flush()


@contextmanager
def abandoned(stream: TextIO) -> Iterator[None]:
    """Give a stream up that the block cannot write to: Python flushes it in the end, and would fail once more."""
    try:
        yield
    except OSError:
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        raise


def _stderr() -> TextIO:
    return cast("TextIO", Outlasting(sys.stderr))


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How one command was asked to talk."""

    form: str = "text"
    file: Path | None = None
    select: tuple[str, ...] = ()
    verbose: bool = False
    log_format: LogForm = "text"
    no_color: bool = False
    state_dir: Path | None = None
    out: TextIO = field(default_factory=lambda: sys.stdout)
    err: TextIO = field(default_factory=_stderr)

    def colour(self, stream: TextIO) -> bool:
        """Tell whether a stream gets colour: a terminal does, unless somebody said no."""
        wished = not self.no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return wished and stream.isatty()

    def width(self, stream: TextIO) -> int:
        """Return the columns of a stream's terminal; 80 for files and pipes, so that they are the same everywhere."""
        if not stream.isatty():
            return NARROW
        import shutil

        return max(NARROW, min(WIDE, shutil.get_terminal_size().columns))

    @property
    def to_file(self) -> bool:
        """Whether the result goes into a file."""
        return self.file is not None

    def result(self, text: str) -> None:
        """Write the result. Raises InputError when the file cannot be written."""
        if self.file is None:
            self.out.write(text)
            self.out.flush()
        else:
            write_file(self.file, text)

    def document(self, document: Mapping[str, object]) -> None:
        """Write the result as one JSON document."""
        from cmscert.reports.plan_document import dump

        self.result(dump(document))

    @property
    def result_colour(self) -> bool:
        """Whether the result is drawn in colour."""
        return not self.to_file and self.colour(self.out)

    @property
    def result_width(self) -> int:
        """Columns of the result."""
        return NARROW if self.to_file else self.width(self.out)

    def say(self, text: str) -> None:
        """Write a line for whoever sits there."""
        self.err.write(text + "\n")
        self.err.flush()

    def failures(self, failures: Mapping[str, NodeError]) -> None:
        """Tell of each server that could not be read, and what to do."""
        for _, error in sorted(failures.items()):
            self.error(error)

    def error(self, error: CmscertError) -> None:
        """Tell of an error."""
        from cmscert.reports.error_text import error_text

        self.err.write(error_text(error, colour=self.colour(self.err)))
        self.err.flush()

    def note(self) -> Note:
        """Return what takes remarks for the log; without -v they are dropped, and nothing is imported for them."""
        from cmscert.app.ports import no_note

        if not self.verbose and self.log_format == "text":
            return no_note
        from cmscert.cli.logs import log_to

        return log_to(self.err, json=self.log_format == "json", colour=self.colour(self.err))


def write_file(path: Path, text: str) -> None:
    """Write a whole file or none of it. Raises InputError."""
    from cmscert.files import write_whole

    try:
        write_whole(path, text.encode())
    except OSError as error:
        why = (error.strerror or "it cannot be written").lower()
        fault = Fault(file=str(path), message=f"cannot be written: {why}", reason="output")
        raise InputError([fault], hint="name another file") from error
