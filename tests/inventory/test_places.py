"""Every slot that is compared leads back to the line of the inventory that asks for it."""

from __future__ import annotations

from collections.abc import Callable

from cmscert.model.places import Asked
from cmscert.testing.inventories import Folder

OWN = """\
  core3:
    address: 10.0.0.3
    fqdn: core3.example.com
    roles: [core]
    services:
      webadmin:
        certificate: node
        bundle: corp
"""


def asked(folder: Folder, **slots: tuple[str, ...]) -> dict[tuple[str, str | None], Asked]:
    """Return what is asked by server and slot; every database counts as compared."""
    loaded = folder.load()
    assert loaded.places is not None
    databases = {database.name for database in loaded.outline.databases}
    return {(each.server, each.slot): each for each in loaded.places.asked(slots, databases)}


def line(folder: Folder, number: int) -> str:
    """Return a line of the inventory."""
    return folder.inventory.read_text().splitlines()[number - 1]


def test_a_slot_of_a_role_points_at_the_role(small: Folder) -> None:
    """The role's line asks for it, and the server's own line names who has the role."""
    found = asked(small, core1=("webadmin",), core2=("webadmin",))
    slot = found["core2", "webadmin"]

    assert line(small, slot.place.line) == "    webadmin: {certificate: node, bundle: corp}"
    assert (slot.place.column, slot.place.path) == (5, "roles.core.webadmin")
    assert slot.by is not None
    assert (line(small, slot.by.line)[:8], slot.by.column) == ("  core2:", 3)
    assert slot.place == found["core1", "webadmin"].place


def test_a_slot_of_a_server_points_at_the_server(small: Folder) -> None:
    """What a server says itself wins over its role, and nothing else is named beside it."""
    small.write(small.inventory.read_text() + OWN).mint()
    found = asked(small, core3=("webadmin",))
    slot, server = found["core3", "webadmin"], found["core3", None]

    assert (line(small, slot.place.line), slot.by) == ("      webadmin:", None)
    assert line(small, server.place.line) == "  core3:"


def test_a_server_as_a_whole_points_at_its_release(small: Folder) -> None:
    """The only thing that is compared of a server as a whole is its release."""
    server = asked(small, core1=())["core1", None]

    assert line(small, server.place.line)[server.place.column - 1 :].startswith('release: "3.9"')


def test_only_what_was_compared_is_asked(small: Folder) -> None:
    """A selection leaves slots and servers out."""
    assert list(asked(small, core2=())) == [("core2", None)]


def test_members_of_a_database_point_at_their_entry(shipped: Callable[[str], Folder]) -> None:
    """A node and a client stand in the lists of their database, and the server is named beside."""
    cluster = shipped("cluster")
    found = asked(cluster, core2=(), core4=(), edge1=())
    node, client = found["core2", "database/main"], found["core4", "database/main"]

    assert line(cluster, node.place.line)[node.place.column - 1 :].startswith("core2, core3]")
    assert line(cluster, client.place.line)[client.place.column - 1 :].startswith("core4]")
    assert client.by is not None
    assert line(cluster, client.by.line).startswith("  core4:")
    assert ("edge1", "database/main") not in found


def test_every_wanted_slot_of_the_shipped_inventories_has_a_place(shipped: Callable[[str], Folder]) -> None:
    """No slot that a plan compares is without a line."""
    cluster = shipped("cluster")
    wanted = {server.name: tuple(slot.slot for slot in server.slots) for server in cluster.load().desired.servers}
    found = asked(cluster, **wanted)

    assert {(name, slot) for name, slots in wanted.items() for slot in slots} <= found.keys()
