"""``renew`` and ``apply --yes`` as a timer runs them: what is due is done, and what is not is left in peace."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

LINE = (("renew",), ("apply", "--yes", "--select", "server=*"))


def run(cli: Callable[..., Any], inventory: object) -> list[int]:
    """Run the line of the timer, and return its codes."""
    return [cli(words[0], inventory, *words[1:]).code for words in LINE]


def test_every_hour(bench: Callable[..., Any], cli: Callable[..., Any], by_one_issuer: Callable[[Path], None]) -> None:
    """The first run obtains and deploys, the second touches nothing; a key that is asked for anew is deployed alone."""
    started = bench("issued.yaml", "aged")
    by_one_issuer(started.inventory)
    first = run(cli, started.inventory)
    started.settled()
    served = started.state()
    marks = started.marks()
    second = run(cli, started.inventory)
    idle = started.since(marks)
    cli("renew", started.inventory, "--again", "--select", "server=core2", "--select", "service=webadmin")
    marks = started.marks()
    third = run(cli, started.inventory)
    started.settled()
    touched = {name: lines for name, lines in started.since(marks).items() if lines}

    assert (first, second, third) == ([0, 0], [0, 0], [0, 0])
    assert idle == {}
    assert set(touched) == {"core2"}
    assert not any(line.startswith("callbridge") for line in touched["core2"])
    assert started.state()["core1"] == served["core1"]
    assert all(service["up"] for service in started.state()["core2"].values())


def test_a_lost_store_obtains_everything_anew(
    bench: Callable[..., Any], cli: Callable[..., Any], by_one_issuer: Callable[[Path], None]
) -> None:
    """A machine that died with its store is replaced by a new one: keys on servers are made again, nothing is down."""
    started = bench("issued.yaml", "aged")
    by_one_issuer(started.inventory)
    first = run(cli, started.inventory)
    shutil.rmtree(started.folder / ".cmscert")
    again = run(cli, started.inventory)
    started.settled()
    drift = cli("drift", started.inventory)

    assert (first, again, drift.code) == ([0, 0], [0, 0], 0), drift
    assert all(service["up"] for services in started.state().values() for service in services.values())
