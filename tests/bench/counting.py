"""Runs ``cmscert plan`` in this process and says how much of its processor time certificates took, as JSON.

Every public function of ``cmscert.pki`` gets a clock before anything else is imported. Of functions that call each
other only the outermost counts. What the clock itself takes is counted as work on certificates.
"""

from __future__ import annotations

import json
import pkgutil
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from time import process_time
from types import FunctionType, ModuleType
from typing import Any

import cmscert.pki


class Clock:
    """Adds up processor time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.inside = False

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same, with the clock running."""

        @wraps(work)
        def timed(*args: object, **kwargs: object) -> object:
            if self.inside:
                return work(*args, **kwargs)
            self.inside = True
            begun = process_time()
            try:
                return work(*args, **kwargs)
            finally:
                self.seconds += process_time() - begun
                self.inside = False

        return timed


def put_clocks(module: ModuleType, clock: Clock) -> None:
    """Put a clock around what a module defines, cached functions among it."""
    for name, found in list(vars(module).items()):
        plain = getattr(found, "__wrapped__", found)
        if isinstance(plain, FunctionType) and plain.__module__ == module.__name__:
            setattr(module, name, clock.around(found))


def main() -> None:
    """Plan, and tell."""
    clock = Clock()
    for each in pkgutil.iter_modules(cmscert.pki.__path__, "cmscert.pki."):
        put_clocks(import_module(each.name), clock)
    from cmscert.cli.main import main as cmscert_main

    code = cmscert_main(["plan", sys.argv[1], "--format", "json", "--output", sys.argv[2]])
    sys.stdout.write(json.dumps({"code": code, "certificates": clock.seconds, "all": process_time()}) + "\n")


if __name__ == "__main__":
    main()
