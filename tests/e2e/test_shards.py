"""A fleet in shards: each reads its own servers, and what they found is put together."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]


@pytest.fixture(scope="module")
def fleet(shared_bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """A cluster whose certificates are old; nobody changes it."""
    return shared_bench("cluster.yaml", "aged", databases=True)


def report(cli: Cli, fleet: Any, *select: str) -> dict[str, Any]:  # noqa: ANN401 - the bench of conftest
    """Look for drift in a part of the fleet."""
    chosen = [word for each in select for word in ("--select", each)]
    ran = cli("drift", fleet.inventory, "--format", "json", *chosen)
    read: dict[str, Any] = ran.document("drift")
    return read


def test_a_shard_reads_its_own_servers(cli: Cli, fleet: Any) -> None:  # noqa: ANN401 - the bench of conftest
    """Drift of a selection connects to no other server, and finds what a look at the whole fleet finds there."""
    whole = report(cli, fleet)
    marks = {name: len(node.commands) for name, node in fleet.fleet.nodes.items()}
    shard = report(cli, fleet, "server=edge*")
    read = {name for name, node in fleet.fleet.nodes.items() if len(node.commands) > marks[name]}

    assert read == {name for name in fleet.fleet.nodes if name.startswith("edge")}
    assert shard["findings"] == [each for each in whole["findings"] if each["server"] in read]
    assert shard["findings"]
    assert {each["server"] for each in shard["asked"]} == read
    assert {each["server"] for each in shard["outside"] if each["slot"] is None} == fleet.fleet.nodes.keys() - read
    assert {each["slot"] for each in shard["outside"]} == {None, "database/main"}
    assert whole["outside"] == []
    assert json.dumps(whole["asked"]).count('"slot": null') == len(fleet.fleet.nodes)
