"""Runs a command and waits for whatever it leaves in the background: ``python whole.py COMMAND …``.

Tells as JSON how long the command took (``wall``), and the processor time of it and of all that it left (``cpu``), in
seconds. Linux only: orphans are handed to this process.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
from contextlib import suppress
from time import perf_counter

PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the command; its exit code."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    begun = perf_counter()
    done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=False)
    wall = perf_counter() - begun
    with suppress(ChildProcessError):
        while True:
            os.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    sys.stdout.write(json.dumps({"wall": wall, "cpu": used.ru_utime + used.ru_stime}) + "\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
