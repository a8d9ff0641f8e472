"""The real process dies by SIGKILL in the middle of a run, and the next one finishes what it began."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from cmscert.apply.journal import read_journal
from cmscert.lab.standing import ROWS

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
Program = Callable[..., "subprocess.Popen[str]"]

MOMENTS = [
    ("single.yaml", "cms", "put all"),
    ("single.yaml", "cms", "pki verify"),
    ("single.yaml", "cms", "webbridge3 disable"),
    ("single.yaml", "cms", "webbridge3 c2w certs"),
    ("single.yaml", "cms", "webbridge3 enable"),
    ("single.yaml", "cms", "turn certs"),
    ("single.yaml", "cms", "callbridge restart"),
    ("single.yaml", "cms", "webadmin enable"),
    ("legacy-2.9.yaml", "core1", "recorder trust"),
    ("legacy-2.9.yaml", "core2", "xmpp enable"),
]
ALLOW = ("--allow", "database-rebuild")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again after a moment, as simulated servers work for a moment only."""
    monkeypatch.setattr("cmscert.apply.database.WAITS", (0.05, 0.1))


def killed(made: Any, program: Program, server: str, moment: str, *more: str) -> None:  # noqa: ANN401 - the bench of conftest
    """Apply in a process of its own, which dies when a line that starts so arrives at a server."""
    started: list[subprocess.Popen[str]] = []
    made.on(server, moment, lambda: started[0].send_signal(signal.SIGKILL))
    started.append(program("apply", made.inventory, "--yes", *more))
    out, err = started[0].communicate(timeout=90)
    assert started[0].returncode == -signal.SIGKILL, (out, err)
    made.settled()


def running(made: Any) -> set[tuple[str, str]]:  # noqa: ANN401 - the bench of conftest
    """Return the services that run, by server."""
    nodes = made.fleet.nodes.items()
    return {(name, service) for name, node in nodes for service in node.machine.services if node.up(service)}


def hold_finished(made: Any, cli: Cli, before: set[tuple[str, str]], *more: str) -> None:  # noqa: ANN401 - the bench of conftest
    """Apply again, and hold that all is as wanted, that what ran runs, and that both journals can be read."""
    applied = cli("apply", made.inventory, "--yes", *more)
    assert applied.code == 0, applied
    made.settled()
    assert running(made) >= before
    again = cli("plan", made.inventory, "--detailed-exitcode")
    assert again.code == 0, again.out
    runs = [read_journal(path) for path in (made.folder / ".cmscert" / "runs").glob("*/journal.jsonl")]
    first, *more_runs = sorted(runs, key=lambda run: run.events[0].at)
    assert not first.whole
    assert [run.events[-1].result for run in more_runs] in ([], ["applied"])  # none: all that was left came by itself


@pytest.mark.slow
@pytest.mark.parametrize(("inventory", "server", "moment"), MOMENTS, ids=lambda value: str(value).replace(" ", "-"))
def test_next_apply_finishes(
    bench: MakeBench, cli: Cli, program: Program, inventory: str, server: str, moment: str
) -> None:
    """Whenever it dies, the next apply ends with 0, everything as wanted, and every service up that was."""
    made = bench(inventory, "aged")
    before = running(made)

    killed(made, program, server, moment)
    hold_finished(made, cli, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "moment"), [("core2", "database cluster remove"), ("core3", "database cluster join")]
)
def test_next_apply_finishes_a_rebuild(bench: MakeBench, cli: Cli, program: Program, server: str, moment: str) -> None:
    """A rebuild that dies while the cluster is in pieces is finished by the next apply, with every row."""
    made = bench("cluster.yaml", "aged", databases=True)
    before = running(made)

    killed(made, program, server, moment, *ALLOW)
    hold_finished(made, cli, before, *ALLOW)
    for name in ("core1", "core2", "core3"):
        assert set(made.node(name).database.rows) >= set(ROWS)
