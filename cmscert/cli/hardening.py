"""No memory image of this process: it holds passwords and private keys. Called before anything secret is read."""

from __future__ import annotations

import resource
import sys

PR_SET_DUMPABLE = 4


def leave_no_core() -> None:
    """Switch core dumps off, for this process and what it starts.

    The limit alone is not enough: a kernel that pipes cores to a collector (systemd-coredump, apport) does not look at
    it. Not dumpable, on Linux, holds against that too, and keeps /proc/PID/environ and mem from the user's other
    processes. Where neither is possible the program goes on: it does not get worse than any other.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
