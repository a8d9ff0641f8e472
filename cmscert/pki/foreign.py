"""The frame around what ``cryptography`` reads for us: foreign bytes are faults, never the end of the program."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def foreign() -> Iterator[None]:
    """Hold back the library's advice to developers, and turn its panics into ValueError.

    A panic of its Rust code is no Exception, so it would end the program; fuzzing found one (a DEK-Info that is short).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old ciphers, weak hashes, odd serial numbers, BER: a file to read
        try:
            yield
        except Exception:
            raise
        except BaseException as error:
            if type(error).__name__ == "PanicException":
                raise ValueError("the library for certificates and keys cannot cope with it") from error
            raise
