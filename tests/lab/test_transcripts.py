"""A lab node that is configured like the one in a transcript prints exactly what that one printed."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cmscert.lab.node import LabNode
from cmscert.lab.spec import ServiceSpec, SlotSpec, Switches

StartNode = Callable[..., Awaitable[LabNode]]
TypeLine = Callable[..., Awaitable[str]]
Authority = Any  # a fixture's class, which only conftest.py can name

_FOLDER = Path(__file__).parent / "transcripts"
_EDGE = SlotSpec(key="edge.key", certificate="cmsedge-fullchain.cer")
_CORE = SlotSpec(key="core.key", certificate="cmscore-fullchain.cer")
_TAC = SlotSpec(key="tac.key", certificate="tac.cer")
_STREAMING = {"streamer": _TAC}
_REV = {
    "NFS hostname": "192.168.15.38",
    "NFS directory": "Recording",
    "CMS host": "join.mextp.local",
    "CMS port": "445",
    "CMS user": "apiadmin",
    "Vbrick Rev hostname": "ciscotac.rev-na.demo.vbrick.com",
    "Vbrick Rev port": "443",
    "Vbrick Rev username": "tacuser",
}

# Transcript to the fields of the node that it was taken from, and the ports that the lab has to choose by itself.
NODES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "hostname-ipv4-a-lab-notes": (
        {"address": "192.168.80.151", "gateway": "192.168.80.254", "mac": "00:50:56:BC:FC:7D"},
        {},
    ),
    "callbridge-3.9-av1": (
        {
            "release": "3.9",
            "services": {
                "callbridge": ServiceSpec(
                    slots={
                        "callbridge": SlotSpec(key="cms.key", certificate="cms.cer", bundle="root.cer"),
                        "callbridge/trust-c2w": SlotSpec(bundle="cms.cer"),
                        "callbridge/trust-cluster": SlotSpec(bundle="cms.cer"),
                        "callbridge/trust-ucm": SlotSpec(bundle="cucmtomcat.cer"),
                        "callbridge/trust-imps": SlotSpec(bundle="impcup.cer"),
                    },
                    settings={"UCM verification mode": "enabled", "IMPS verification mode": "enabled"},
                )
            },
        },
        {},
    ),
    "webadmin-callbridge-core-3x": (
        {
            "release": "3.8",
            "services": {
                "webadmin": ServiceSpec(slots={"webadmin": _CORE}),
                "callbridge": ServiceSpec(
                    slots={"callbridge": _CORE, "callbridge/trust-c2w": SlotSpec(bundle="cmsedge-fullchain.cer")}
                ),
            },
        },
        {"webadmin": "443"},
    ),
    "webbridge3-turn-edge-3x": (
        {
            "release": "3.8",
            "services": {
                "webbridge3": ServiceSpec(
                    slots={
                        "webbridge3/https": _EDGE,
                        "webbridge3/c2w": _EDGE,
                        "webbridge3/trust-c2w": SlotSpec(bundle="cmscore-fullchain.cer"),
                    },
                    interfaces={"webbridge3/https": "a b"},
                ),
                "turn": ServiceSpec(
                    slots={"turn": _EDGE},
                    interfaces={"turn": "a b"},
                    settings={
                        "Username": "admin",
                        "Password": "Cisco.123",
                        "Realm": "cms.demo",
                        "Relay address": "10.124.144.80",
                    },
                ),
            },
        },
        {"webbridge3/https": "445", "webbridge3/c2w": "6000", "turn": "447"},
    ),
    "pki-csr": ({"release": "3.2"}, {}),
    "pki-list": (
        {
            "release": "3.2",
            "files": dict.fromkeys(
                ("tac.key", "tac.cer", "ROOTCA.cer", "example.key", "example.csr", "notes.txt", "tac.csr"), b""
            ),
        },
        {},
    ),
    "streamer-enable-success": (
        {"release": "3.2", "services": {"streamer": ServiceSpec(enabled=False, slots=_STREAMING)}},
        {},
    ),
    "streamer-sip-enabled": (
        {
            "release": "3.2",
            "services": {"streamer": ServiceSpec(slots=_STREAMING, settings={"tcp": "a:7000"})},
        },
        {"streamer": "7001"},
    ),
    "streamer-3.2-disabled": (
        {
            "release": "3.2",
            "services": {"streamer": ServiceSpec(enabled=False, slots=_STREAMING, settings={"tcp": "a:7000"})},
        },
        {"streamer": "7001"},
    ),
    "streamer-3.1-bundle-collapsed": (
        {
            "release": "3.1",
            "services": {
                "streamer": ServiceSpec(
                    enabled=False,
                    slots={
                        "streamer": SlotSpec(key="streamer.key", certificate="streamer.crt", bundle="CAbundle.cer"),
                    },
                    settings={"tcp": "a:6000", "SIP Resolution": "1080p", "Call Limit": "6"},
                )
            },
        },
        {"streamer": "6001"},
    ),
    "streamer-enable-failure": ({"release": "3.2"}, {}),
    "streamer-2.9-xmpp-collapsed": (
        {
            "release": "2.9",
            "services": {
                "streamer": ServiceSpec(
                    enabled=False,
                    slots={
                        "streamer": SlotSpec(key="streamer.key", certificate="streamer.crt"),
                        "streamer/trust": SlotSpec(bundle="callbridge.crt"),
                    },
                )
            },
        },
        {"streamer": "8443"},
    ),
    "recorder-3.12-collapsed": (
        {
            "release": "3.12",
            "services": {
                "recorder": ServiceSpec(
                    slots={"recorder": SlotSpec(key="cms.key", certificate="cms.cer", bundle="cms.cer")},
                    ports={"recorder": -1},
                    settings={"tcp": "a:8888", "NFS domain name": "10.124.56.222", "NFS directory": "NFS"},
                )
            },
        },
        {},
    ),
    "uploader-status": (
        {
            "release": "3.2",
            "services": {
                "uploader": ServiceSpec(
                    enabled=False,
                    slots={
                        "uploader/trust-cms": SlotSpec(bundle="ROOTCA.cer"),
                        "uploader/trust-rev": SlotSpec(bundle="brick.cer"),
                    },
                    settings=_REV,
                )
            },
        },
        {},
    ),
    "uploader-enable": ({"release": "3.2"}, {}),
    "license-3x": ({"release": "3.2", "licence_expires": "2023-Apr-28"}, {}),
    "webbridge-enable-ca-bundle-collapsed": (
        {
            "release": "2.9",
            "switches": Switches(enable_wording="sourced"),
            "services": {
                "webbridge": ServiceSpec(
                    enabled=False,
                    slots={
                        "webbridge": SlotSpec(key="cms1a.key", certificate="cms1a.cer", bundle="cmslab-root-ca.cer"),
                        "webbridge/trust": SlotSpec(bundle="cms1abc.cer"),
                    },
                )
            },
        },
        {},
    ),
}

# Transcripts whose last command has its answer on its own line.
JOINED = {"streamer-2.9-xmpp-collapsed": "streamer", "webbridge-enable-ca-bundle-collapsed": "webbridge enable"}


def _body(name: str) -> str:
    head, _, body = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").partition("\n---\n")
    assert head.startswith("# source: ")
    return body


def _spoken(name: str, body: str) -> Iterator[tuple[str, str, str]]:
    """Yield host name, command and answer for each prompt of a transcript."""
    pieces = re.split(r"(?m)^([A-Za-z0-9][A-Za-z0-9.\-]*)> ?", body)
    for host, text in zip(pieces[1::2], pieces[2::2], strict=True):
        line, _, answer = text.partition("\n")
        command = JOINED[name] if line.startswith(JOINED.get(name, "?")) else line
        if command:
            yield host, command, line[len(command) :].lstrip() + answer


def _one_line(text: str) -> str:
    """Return a text as a joined transcript has it: line ends became blanks, the padding of labels stayed."""
    return " ".join(text.split("\n")).strip()


def _files(fields: dict[str, Any], authority: Authority) -> dict[str, bytes]:
    """Make the files that the slots name: an entity certificate for a key, the CA for a bundle."""
    files: dict[str, bytes] = dict(fields.get("files", {}))
    for service in fields.get("services", {}).values():
        for slot in service.slots.values():
            if slot.bundle:
                files.setdefault(slot.bundle, authority.bundle)
            if slot.certificate:
                pair = authority.mint("cms.example.com")
                if slot.key not in files:
                    files |= {slot.key: pair.key, slot.certificate: authority.chain(pair)}
    return files


@pytest.mark.parametrize("name", sorted(NODES))
async def test_layout(name: str, start_node: StartNode, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Label texts, widths and lines are those of the transcript; only ports that the lab chose differ."""
    fields, ports = NODES[name]
    body = _body(name)
    host = re.findall(r"(?m)^([A-Za-z0-9][A-Za-z0-9.\-]*)> ?", body)[0]
    node = await start_node(**fields | {"files": _files(fields, authority), "hostname": host})
    monkeypatch.setattr(node.machine, "clock", lambda: datetime(2021, 6, 7, tzinfo=UTC))
    for slot, shown in ports.items():
        body = re.sub(rf"\b{shown}\b", str(node.port(slot)), body)
    for prompt, command, expected in _spoken(name, body):
        assert prompt == node.spec.hostname
        answer = (await node.carry_out(command, "10.0.0.9:4444", _nobody)).decode()
        if name.endswith(("collapsed", "av1")):
            assert _one_line(_layout(name, answer)) == _one_line(_layout(name, expected))
        else:
            assert answer == _device_part(expected)


def _device_part(expected: str) -> str:
    """Leave out what the author of a transcript put between: separators, and a command without its prompt."""
    return "".join(
        line for line in expected.splitlines(keepends=True) if line != "!\n" and not line.startswith("ipv4 a add")
    )


def _layout(name: str, text: str) -> str:
    """T-35 lost the padding of its labels too, so only the labels and values of that one are compared."""
    return re.sub(r" +", " ", text) if name.startswith("recorder") else text


async def _nobody(_question: str) -> str | None:
    return None


def test_every_transcript_is_covered() -> None:
    """A transcript without a node to compare it with would say nothing."""
    apart = {"syslog-audit-line", "live-json-ipv4-module"}
    assert {path.stem for path in _FOLDER.iterdir()} == set(NODES) | apart


async def test_audit_line(start_node: StartNode, typed: TypeLine) -> None:
    """A command leaves the line that T-01 shows, with a blank after the bracket."""
    node = await start_node(release="3.9")
    await typed(node, "callbridge av1 enable")
    stamp = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}"
    shown = _body("syslog-audit-line").rstrip("\n")
    assert re.sub(stamp, "", shown) == re.sub(stamp, "", node.audit[0])
    assert re.match(stamp, node.audit[0])


async def test_live_json(start_node: StartNode) -> None:
    """``live.json`` has the labels of T-02, in their order, with strings throughout."""
    node = await start_node(address="10.48.54.160", gateway="10.48.54.200", mac="00:50:56:99:5A:5B")
    shown = re.findall(r'" ?(\w+) ?": ?("[^"]+")?', _body("live-json-ipv4-module").partition('" routes')[0])
    assert shown == re.findall(r'"(\w+)": ("[^"]+")?', node.live_json().decode().partition('"routes')[0])
