"""What no source proves may be either way: the cluster is planned and applied the same, whatever the servers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cmscert.lab.spec import NodeSpec, Switches

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]

SHELL_ONLY = {"exec_channel": False, "sftp_same_connection": False, "max_channels": 2}
OTHER_WORDS = {
    "match_wording": "terse",
    "version_wording": "labelled",
    "words": "master",
    "set_replies": True,
    "extra_rows": True,
    "date_command": False,
    "bundle_row_when_none": True,
    "enable_wording": "sourced",
}
EACH = [
    {"exec_channel": False},
    {"sftp_same_connection": False},
    {"max_channels": 1},
    {"match_wording": "odd"},
    {"match_wording": "terse", "words": "master", "set_replies": True},
    {"extra_rows": True, "date_command": False, "version_wording": "labelled", "old_algorithms": False},
]
FLEETS = {
    "one each": EACH,
    "other words everywhere": [OTHER_WORDS] * 6,
    "shells only": [SHELL_ONLY] * 6,
}


def gist(plan: dict[str, Any]) -> Any:  # noqa: ANN401 - only to compare
    """Take what a person reviews: what differs, and what is done in which order."""
    drift = [(item["server"], item["slot"], item["reason"]) for item in plan["drift"]]
    steps = [(step["id"], step["server"], step["slot"], step["kind"], step["after"]) for step in plan["steps"]]
    typed = [line for step in plan["steps"] for line in step["commands"]]
    return drift, steps, typed, plan["refusals"]


@pytest.fixture(scope="module")
def usual(shared_bench: MakeBench, cli: Cli) -> Any:  # noqa: ANN401 - only to compare
    """The plan of the cluster as the lab is by itself."""
    return gist(cli("plan", shared_bench("cluster.yaml", "faults").inventory, "--format", "json").document("plan"))


@pytest.mark.parametrize("name", FLEETS)
def test_same_plan_and_same_end(bench: MakeBench, cli: Cli, usual: Any, name: str) -> None:  # noqa: ANN401 - only to compare
    """The same plan is made, it is applied, and nothing is left to do."""

    def switch(specs: dict[str, NodeSpec]) -> None:
        for spec, chosen in zip(specs.values(), FLEETS[name], strict=True):
            spec.switches = Switches(**chosen)

    made = bench("cluster.yaml", "faults", change=switch)
    plan = cli("plan", made.inventory, "--format", "json").document("plan")
    assert gist(plan) == usual
    ran = cli("apply", made.inventory, "--yes")
    assert ran.code == 0, ran
    again = cli("plan", made.inventory, "--detailed-exitcode")
    assert again.code == 0, again


def test_old_algorithms_need_the_inventorys_word(bench: MakeBench, cli: Cli) -> None:
    """A server with old algorithms only is 4 with a hint, until its entry says legacy."""

    def switch(specs: dict[str, NodeSpec]) -> None:
        specs["cms"].switches = Switches(old_algorithms=True)

    made = bench("single.yaml", "wanted", change=switch)
    ran = cli("plan", made.inventory)
    assert (ran.code, "ssh.legacy: true" in ran.err) == (4, True), ran
    made.edit(("      port: ", "      legacy: true\n      port: "))
    port = "        legacy: true\n      port:"
    text = made.inventory.read_text()
    if port in text:
        made.inventory.write_text(text.replace(port, "        port:"))
    assert cli("plan", made.inventory, "--detailed-exitcode").code == 0
