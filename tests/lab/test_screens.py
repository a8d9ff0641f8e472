"""Status screens beyond the transcripts: switches, releases, further words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from cmscert.lab.node import LabNode

StartNode = Callable[..., Awaitable[LabNode]]
TypeLine = Callable[..., Awaitable[str]]


def _rows(screen: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in screen.splitlines())
    return {label.strip(): value.strip() for label, _, value in pairs}


async def test_switches_of_screens(start_node: StartNode, typed: TypeLine) -> None:
    """With their switches, a missing bundle has a row, and rows that nobody knows appear."""
    node = await start_node()
    assert "CA Bundle" not in await typed(node, "webadmin")
    node.switches.bundle_row_when_none = True
    node.switches.extra_rows = True
    screen = await typed(node, "webadmin")
    assert "CA Bundle file          : none\n" in screen
    assert "Front lamp colour       : blue\n" in screen


@pytest.mark.parametrize(
    ("release", "service", "label", "there"),
    [
        ("2.8", "callbridge", "C2W trusted certs", False),
        ("2.9", "callbridge", "C2W trusted certs", True),
        ("2.9", "callbridge", "WC3 JWT Expiry in hours", False),
        ("3.7", "callbridge", "UCM trusted certs", False),
        ("3.8", "callbridge", "UCM trusted certs", True),
        ("3.8", "callbridge", "AV1 Video Codec", False),
        ("3.0", "webbridge3", "HTTPS Frame-Ancestors", False),
        ("3.4", "webbridge3", "Meetingapps address", False),
        ("3.8", "webbridge3", "Audio priority flag", True),
    ],
)
async def test_rows_by_release(
    start_node: StartNode, typed: TypeLine, release: str, service: str, label: str, *, there: bool
) -> None:
    """Older releases print fewer rows (facts 4.4)."""
    node = await start_node(release=release)
    assert (label in _rows(await typed(node, service))) is there


@pytest.mark.parametrize(
    ("release", "line", "label"),
    [
        ("3.9", "tls sip", "sip trust bundle"),
        ("3.9", "tls ldap", "ldap trust bundle"),
        ("2.9", "xmpp cluster status", "Trust bundle"),
        ("2.9", "loadbalancer list", "Tag"),
        ("2.9", "trunk list", "Trust bundle"),
        ("3.9", "webadmin status", "STATUS"),
    ],
)
async def test_further_screens(start_node: StartNode, typed: TypeLine, release: str, line: str, label: str) -> None:
    """Some services tell their state under further words, all [MEM]."""
    node = await start_node(release=release)
    assert label in _rows(await typed(node, line))
