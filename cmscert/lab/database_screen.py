"""``database cluster status`` in the layout of T-51: labels padded to 25, nodes indented by 4, files by 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cmscert.lab.database import DatabaseNetwork
from cmscert.lab.database_files import FIVE, LABELS, expired_rows
from cmscert.lab.database_node import DatabaseNode

_WIDTH: Final = 25
_NONE: Final = "none"
_WORDS: Final = {"primary": ("Primary", "Replica"), "master": ("Master", "Slave")}  # 5.5
_WORKING: Final = {  # 5.4 [MEM]
    "initialize": "Initializing",
    "join": "Attaching",
    "connect": "Attaching",
    "remove": "Removing",
    "upgrade_schema": "Enabled",
}


def draw(network: DatabaseNetwork, node: DatabaseNode) -> list[str]:
    """Draw the screen as the node sees its cluster now."""
    parts = [list(_head(network, node)), list(_nodes(network, node))]
    long = node.spec.switches.unconfigured_wording == "long"
    if node.interface is not None or long:
        parts.append([_row("Interface", node.interface or _NONE)])
    parts += [list(_files(network, node)), list(_last(node))]
    lines: list[str] = []
    for part in filter(None, parts):
        lines += ["", *part] if lines else part
    return lines


def _row(label: str, value: str) -> str:
    return f"{label:<{_WIDTH}}: {value}"


def _head(network: DatabaseNetwork, node: DatabaseNode) -> Iterator[str]:
    error = node.error
    if error is None and node.spec.switches.expired_wording == "error" and _expired(network, node):
        error = "Certificate has expired"
    if error is not None:
        yield _row("ERROR", error)
    yield _row("Status", _status(node, error))


def _status(node: DatabaseNode, error: str | None) -> str:
    if node.pending is not None and node.spec.switches.progress_wording == "remembered":
        return _WORKING[node.pending.work]
    if error is not None:
        return "Error"
    return "Disabled" if node.role == "none" else "Enabled"


def _expired(network: DatabaseNetwork, node: DatabaseNode) -> set[str]:
    return set() if node.copies is None else expired_rows(node.copies, network.clock())


def _shown(node: DatabaseNode, member: DatabaseNode) -> str:
    return member.spec.fqdn if node.spec.switches.member_names == "fqdn" else member.address


def _nodes(network: DatabaseNetwork, node: DatabaseNode) -> Iterator[str]:
    cluster = node.cluster
    if cluster is None:
        if node.spec.switches.unconfigured_wording == "long":
            yield _row("Nodes", "None found")
        return
    in_use = network.primary_for(node)
    yield "Nodes:"
    for name in cluster.members:
        member = network.nodes[name]
        label = f"{_shown(node, member)}{' (me)' if member is node else ''}"
        yield f"    {label:<{_WIDTH - 4}}: {_standing(network, node, member)}"
    if node.role == "client" and node.spec.switches.client_row:
        yield f"    {_shown(node, node) + ' (me)':<{_WIDTH - 4}}: {'Connected' if in_use else 'Not Connected'}"
    yield _row("Node in use", _shown(node, in_use) if in_use else _NONE)


def _standing(network: DatabaseNetwork, node: DatabaseNode, member: DatabaseNode) -> str:
    """Tell how a node sees a member; one that has left without a word is a member still."""
    switches = node.spec.switches
    if member is not node and (member.cluster is not node.cluster or not network.talk(node, member)):
        return switches.lost_wording
    primary, replica = _WORDS[switches.words]
    if member.role == "primary":
        return f"Connected {primary}"
    return f"Connected {replica} ( {'In Sync' if network.in_sync(member) else switches.sync_wording} )"


def _files(network: DatabaseNetwork, node: DatabaseNode) -> Iterator[str]:
    if not node.names and node.spec.switches.unconfigured_wording != "long":
        return
    expired = _expired(network, node) if node.spec.switches.expired_wording == "row" else set()
    labels = LABELS[-len(node.names) :] if len(node.names) < FIVE else LABELS
    yield "Certificates"
    for label, name in zip(labels, node.names or (_NONE,) * FIVE, strict=True):
        yield _row(f"  {label}", f"{name} (expired)" if label in expired else name)


def _last(node: DatabaseNode) -> Iterator[str]:
    wording = node.spec.switches.progress_wording
    line, state = node.last or ("", "")
    if node.pending is not None:
        line = "" if wording == "quiet" else node.pending.line
        state = "In progress" if wording == "remembered" else "Running"
    if line:
        yield _row("Last command", f"'{line}' ({state})")
