"""From what was read to an inventory: grouping, naming, what is left out and what is said about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.mmp.services import SERVICES
from cmscert.model.database import DatabaseFiles, DatabaseMember, DatabaseState
from cmscert.model.observed import ServiceState, StoredFile
from cmscert.model.readings import ABSENT, Known, Unread
from cmscert.pki.certificate import Certificate
from cmscert.planning.adopting.bundles import Bundles, parts_of
from cmscert.planning.adopting.draft import Draft, draft
from cmscert.planning.adopting.found import Node, leaf_of
from cmscert.planning.adopting.groups import Use, group
from cmscert.planning.adopting.names import (
    Names,
    declared_name,
    declared_sans,
    first_label,
    hostname_of,
    is_address,
    is_full_name,
    is_host,
    said,
    slug,
    template_of,
)
from cmscert.testing.ca import ThrowAwayCa, self_signed
from cmscert.testing.fleets import MOMENT, ToyServer


@pytest.fixture(scope="module")
def ca() -> ThrowAwayCa:
    """A root and an issuing CA."""
    return ThrowAwayCa.root("Corp Root").intermediate("Corp Issuing")


def leaf(ca: ThrowAwayCa, name: str | None, *sans: str, **more: Any) -> Certificate:  # noqa: ANN401 - what issue takes
    """Issue a certificate that is not due."""
    return ca.issue(
        name,
        sans=sans or ((name,) if name else ()),
        **{"not_before": MOMENT, "not_after": MOMENT + timedelta(days=90), **more},
    ).certificate


def node(server: ToyServer, address: str | None = None, **more: Any) -> Node:  # noqa: ANN401 - fields of a node
    """Return a toy server as it was read."""
    place = address or f"{server.name}.example.com"
    return Node(address=place, port=22, user="admin", observed=server.observe(), **more)


def drafted(*nodes: Node) -> Draft:
    """Draft an inventory."""
    return draft(nodes, fleet="toy", table=SERVICES, moment=MOMENT)


def said_of(made: Draft, server: str) -> str:
    """Return the remarks about a server."""
    return "\n".join(made.remarks.get(("servers", server), ()))


def core(ca: ThrowAwayCa, name: str, shared: Certificate) -> ToyServer:
    """A server with a certificate of its own and one that it shares."""
    server = ToyServer(name=name)
    server.hold("webadmin", (leaf(ca, f"{name}.example.com"),), bundle=ca.bundle)
    server.hold("callbridge", (shared,), bundle=ca.bundle)
    server.trust("callbridge/trust-cluster", (shared,))
    server.trust("callbridge/trust-c2w", ca.bundle)
    return server


def test_a_small_cluster(ca: ThrowAwayCa) -> None:
    """Shared and per-server certificates, one bundle, a role, a trust list of leaves."""
    shared = leaf(ca, "cms.example.com", "cms.example.com", "core1.example.com")
    made = drafted(*(node(core(ca, name, shared)) for name in ("core1", "core2")))

    assert made.document == {
        "version": 1,
        "fleet": "toy",
        "bundles": {"corp-issuing": ["pki/ca/corp-issuing.crt", "pki/ca/corp-root.crt"]},
        "certificates": {
            "node": {
                "common_name": "{fqdn}",
                "sans": ["{fqdn}"],
                "chain": "corp-issuing",
                "files": {"certificate": "pki/node/{name}.crt"},
            },
            "cms": {
                "common_name": "cms.example.com",
                "sans": ["cms.example.com", "core1.example.com"],
                "chain": "corp-issuing",
                "files": {"certificate": "pki/cms.crt"},
            },
        },
        "roles": {
            "core": {
                "webadmin": {"certificate": "node", "bundle": "corp-issuing"},
                "callbridge": {
                    "certificate": "cms",
                    "bundle": "corp-issuing",
                    "trust": {"cluster": {"leaves_of": "callbridge"}, "c2w": "corp-issuing"},
                },
            }
        },
        "servers": {
            "core1": {
                "address": "core1.example.com",
                "fqdn": "core1.example.com",
                "release": "3.9",
                "roles": ["core"],
            },
            "core2": {
                "address": "core2.example.com",
                "fqdn": "core2.example.com",
                "release": "3.9",
                "roles": ["core"],
            },
        },
    }
    assert sorted(made.files) == [
        "pki/ca/corp-issuing.crt",
        "pki/ca/corp-root.crt",
        "pki/cms.crt",
        "pki/node/core1.crt",
        "pki/node/core2.crt",
    ]
    assert made.slots == {"core1": 4, "core2": 4}
    assert not [remark for remark in made.remarks.values() if "could not be known" in str(remark)]


def test_slots_of_every_form(ca: ThrowAwayCa) -> None:
    """Trust stands where the inventory wants it, and tags and full chains as well."""
    own = leaf(ca, "edge1.example.com")
    old = ToyServer(name="edge1", release="2.9")
    old.hold("webbridge", (own,), bundle=ca.bundle)
    old.trust("webbridge/trust", (own,))
    old.hold("loadbalancer", (own, *ca.bundle), bundle=ca.bundle)
    old.bound["loadbalancer"] = replace(old.bound["loadbalancer"], tag="edge")
    old.hold("h323_gateway", (own, *ca.bundle))
    old.trust("tls/trust-sip", ca.bundle)
    new = ToyServer(name="edge2", release="3.12")
    new.hold("webbridge3/c2w", (own, *ca.bundle))
    new.trust("webbridge3/trust-c2w", ca.bundle)
    new.hold("meetingapps", (own, *ca.bundle))
    made = drafted(node(old), node(new)).document

    assert made["servers"]["edge1"]["services"] == {
        "webbridge": {"certificate": "edge1", "bundle": "corp-issuing", "trust": {"leaves_of": "webbridge"}},
        "loadbalancer": {"tag": "edge", "certificate": "edge1", "trust": "corp-issuing"},
        "h323_gateway": "edge1",
        "tls": {"sip": {"trust": "corp-issuing"}},
    }
    assert made["servers"]["edge2"]["services"] == {
        "webbridge3": {"c2w": {"certificate": "edge1", "trust": "corp-issuing"}},
        "meetingapps": "edge1",
    }


def test_what_is_left_out_is_said(ca: ThrowAwayCa) -> None:
    """A slot that no inventory can ask for is left out, and a remark says why."""
    server = ToyServer(name="core1", release="2.9")
    own = leaf(ca, "core1.example.com")
    for slot in ("webadmin", "callbridge", "turn", "xmpp", "recorder", "webbridge", "trunk"):
        server.hold(slot, (own, *ca.bundle), bundle=ca.bundle)
    server.bound["webadmin"] = replace(server.bound["webadmin"], key=None)
    server.bound["callbridge"] = replace(server.bound["callbridge"], certificate="gone\x1b.crt")
    server.files["empty.crt"] = ()
    server.bound["turn"] = replace(server.bound["turn"], bundle="empty.crt")
    server.hold("webbridge3/https", (own,))
    server.enabled["xmpp"] = False
    seen = node(server)
    contents = {**seen.observed.contents, "gone\x1b.crt": ABSENT, server.bound["webbridge"].certificate: Unread("no")}
    screens = {**seen.observed.screens, "h323_gateway": Unread("garbled\x07"), "streamer": ABSENT}
    made = drafted(replace(seen, observed=replace(seen.observed, contents=contents, screens=screens)))
    remarks = said_of(made, "core1")

    assert "webadmin is left out: not both of a key and a certificate are bound" in remarks
    assert "callbridge is left out: gone?.crt is bound and not in the store" in remarks
    assert "turn is left out: empty.crt holds no certificate" in remarks
    assert "could not be read (no)" in remarks
    assert "webbridge3/https is left out: it needs the full chain" in remarks
    assert "trunk is left out: no tag or no trust list is shown for it" in remarks
    assert "could not be known: h323_gateway (garbled?)" in remarks
    assert "xmpp is stopped" in remarks
    assert "xmpp: its certificate file holds the whole chain" in remarks
    assert list(made.document["servers"]["core1"]["services"]) == ["xmpp", "recorder"]


@pytest.mark.parametrize("release", [ABSENT, Unread("no answer")])
def test_an_unknown_release(ca: ThrowAwayCa, release: Any) -> None:  # noqa: ANN401 - a reading
    """A server that does not tell its release is taken for a new one, and that is said."""
    server = ToyServer(name="core1", overrides={"release": release})
    server.hold("webadmin", (leaf(ca, "core1.example.com"),), bundle=ca.bundle)
    made = drafted(node(server))

    assert "release" not in made.document["servers"]["core1"]
    assert "could not be known: the release" in said_of(made, "core1")


def test_ports_that_no_screen_tells(ca: ThrowAwayCa) -> None:
    """Where nothing answers at the usual port, the inventory has to say another one, and a remark says that."""
    server = ToyServer(name="core1")
    server.hold("callbridge", (leaf(ca, "core1.example.com"),), bundle=ca.bundle)
    seen = node(server)
    screens = {"callbridge": Known(ServiceState(service="callbridge", bindings=dict(server.bound)))}
    quiet = replace(seen.observed, screens=screens, served={})
    heard = replace(seen.observed, screens=screens)

    assert "the port of callbridge" in said_of(drafted(replace(seen, observed=quiet)), "core1")
    assert "the port of" not in said_of(drafted(replace(seen, observed=heard)), "core1")


def test_one_leaf_with_several_chains_is_several_certificates(ca: ThrowAwayCa) -> None:
    """What is bound must stay as wanted in every slot, so a chain file without root is another entry."""
    own = leaf(ca, "edge1.example.com")
    server = ToyServer(name="edge1")
    server.hold("webadmin", (own,), bundle=ca.bundle)
    server.hold("webbridge3/https", (own, *ca.bundle))
    server.hold("webbridge3/c2w", (own, ca.bundle[0]))
    server.hold("turn", (own,))
    made = drafted(node(server))
    certificates = made.document["certificates"]
    services = made.document["servers"]["edge1"]["services"]

    assert {name: form.get("chain") for name, form in certificates.items()} == {
        "edge1": "corp-issuing",
        "edge1-2": "corp-issuing-2",
        "edge1-3": None,
    }
    assert services["webbridge3"] == {"https": {"certificate": "edge1"}, "c2w": {"certificate": "edge1-2"}}
    assert (services["webadmin"]["certificate"], services["turn"]) == ("edge1", "edge1-3")
    assert made.document["bundles"]["corp-issuing-2"] == {"found": ["pki/ca/corp-issuing.crt"]}
    assert ("bundles", "corp-issuing-2") in made.remarks


def test_a_file_with_the_leaf_behind_its_issuers(ca: ThrowAwayCa) -> None:
    """The leaf is found wherever it stands; a file of CA certificates alone starts with its leaf."""
    own = leaf(ca, "edge1.example.com")

    assert leaf_of((ca.bundle[1], ca.bundle[0], own)) == own
    assert leaf_of((own, *ca.bundle)) == own
    assert leaf_of(ca.bundle) == ca.bundle[0]


def test_trust_is_split_by_ca(ca: ThrowAwayCa) -> None:
    """Two CAs are two bundles, a pinned certificate is one of its own, a cross-signed pair stays together."""
    other = ThrowAwayCa.root("Other")
    pinned = self_signed("peer.example.com").certificate
    stranger = leaf(other.intermediate("Nobody"), "x.example.com")
    below = leaf(ca, "y.example.com")
    held = frozenset({*ca.bundle, *other.bundle, pinned, stranger, below})
    parts = parts_of(held)

    assert sorted(map(len, parts)) == [1, 2, 3]
    assert frozenset().union(*parts) == held
    bundles = Bundles(MOMENT)
    assert bundles.trusted(held, hint="turn-certs") == bundles.trusted(held, hint="again")
    assert "turn-certs" in {one.name for one in bundles.made.values()}
    whole = bundles.named(held)
    assert bundles.trusted(held, hint="") == (whole,)


def test_a_trust_list_of_several_bundles(ca: ThrowAwayCa) -> None:
    """A trust that holds two CAs is a list."""
    other = ThrowAwayCa.root("Other")
    server = ToyServer(name="core1")
    server.trust("callbridge/trust-c2w", (*ca.bundle, *other.bundle))
    trust = drafted(node(server)).document["servers"]["core1"]["services"]["callbridge"]["trust"]

    assert sorted(trust["c2w"]) == ["corp-issuing", "other"]


def test_cross_signed_cas_stay_together() -> None:
    """A CA that two roots signed is in one bundle with both: apart, the order of each would be a guess."""
    first, second = ThrowAwayCa.root("First"), ThrowAwayCa.root("Second")
    below = first.intermediate("Issuing")
    crossed = second.intermediate("Issuing", key=below.key_pair)
    issued = leaf(below, "x.example.com")
    held = frozenset({issued, below.certificate, crossed.certificate, first.certificate, second.certificate})

    assert parts_of(held) == (held,)


# Names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Example Issuing CA 2", "example-issuing-ca-2"),
        ("../../etc/passwd", "etc-passwd"),
        ("\u00dcber Gmbh", "uber-gmbh"),
        ("\x1b]0;x\x07", "0-x"),
        ("\u7b7e\u540d", "otherwise"),
        ("", "otherwise"),
        ("x" * 99, "x" * 20),
        ("abcdefghijklmnopqrs-tuvw", "abcdefghijklmnopqrs"),
    ],
)
def test_slugs(text: str, name: str) -> None:
    """Whatever a server says becomes a plain name or none."""
    assert slug(text, longest=20, otherwise="otherwise") == name


@given(st.text(max_size=80))
def test_names_are_plain_whatever_comes(text: str) -> None:
    """No text makes a name with path parts, nor a remark with line ends."""
    assert all(char.isalnum() or char == "-" for char in slug(text, longest=20, otherwise="x"))
    assert 0 < len(slug(text, longest=20, otherwise="x")) <= 20
    assert said(text).isprintable()
    assert said(text).isascii()


def test_names_are_given_once() -> None:
    """A number tells two of a name apart, in upper and lower case too."""
    names = Names(["Root"])

    assert [names.free(wish, longest=6) for wish in ("root", "abcdef", "ABCDEF", "abc")] == [
        "root-2",
        "abcdef",
        "ABCD-2",
        "abc",
    ]


@pytest.mark.parametrize(
    ("text", "template"),
    [
        ("core1.example.com", "{fqdn}"),
        ("CORE1.example.com", "{fqdn}"),
        ("core1-ext.example.com", "{name}-ext.example.com"),
        ("core10.example.com", "core10.example.com"),
        ("join.example.com", "join.example.com"),
    ],
)
def test_templates(text: str, template: str) -> None:
    """A name that follows the server's own is written as such, and nothing else is."""
    assert template_of(text, name="core1", fqdn="core1.example.com") == template


def test_a_name_of_one_letter_is_no_template() -> None:
    """One letter stands in too many names by chance."""
    assert template_of("a.example.org", name="a", fqdn="a.example.com") == "a.example.org"
    assert template_of("{name}.core1", name="core1", fqdn="x") == "{name}.core1"


def test_what_a_log_calls_its_server() -> None:
    """The host stands behind stamp and facility (T-01); other lines tell nothing."""
    lines = "2026-11-24T01:00:00.000+00:00 user.info core1 host:server: INFO : x\nMar 31 10:16:59 x y\n"

    assert hostname_of(lines) == "core1"
    assert hostname_of("2026-11-24T01:00:00Z user.info -x y\n") is None
    assert hostname_of("2026-11-24T01:00:00Z user.info a..b y\n") is None
    assert hostname_of("") is None


def test_kinds_of_names() -> None:
    """Hosts, addresses and full names are told apart."""
    assert is_full_name("a.example.com")
    assert not any(map(is_full_name, (None, "a", "10.0.0.1", "*.example.com", "a b.c")))
    assert is_address("::1")
    assert not is_address("a")
    assert not is_host("a" * 300)
    assert first_label("a.b") == "a"


def test_hostile_common_names(ca: ThrowAwayCa) -> None:
    """What cannot be declared is made plain, and that is said; without a common name the SAN gives one."""
    assert declared_name(leaf(ca, "{fqdn}\x1b.x")) == ("fqdn.x", False)
    assert declared_name(leaf(ca, None, "a.example.com")) == ("a.example.com", False)
    bare = replace(leaf(ca, "a.example.com"), common_name=None, dns_names=("no host",), ip_addresses=("10.0.0.1",))
    assert declared_sans(bare) == ("10.0.0.1",)
    assert declared_name(replace(bare, ip_addresses=())) == ("unnamed", False)
    server = ToyServer(name="core1")
    server.hold("webadmin", (leaf(ca, "\x1b[31m"),), bundle=ca.bundle)
    made = drafted(node(server))
    assert made.document["certificates"]["31m"]["common_name"] == "[31m"
    assert ("certificates", "31m") in made.remarks


@pytest.mark.parametrize(("common_name", "name"), [("*.example.com", "wildcard"), ("***", "certificate")])
def test_names_of_certificates(ca: ThrowAwayCa, common_name: str, name: str) -> None:
    """A wildcard is called so, and what gives no name gets a general one."""
    server = ToyServer(name="core1")
    server.hold("webadmin", (leaf(ca, common_name, "a.example.com"),), bundle=ca.bundle)

    assert list(drafted(node(server)).document["certificates"]) == [name]


# Servers


def test_full_names(ca: ThrowAwayCa) -> None:
    """As given, as the server calls itself, as its own certificates say; else a remark."""
    shared = leaf(ca, "cms.example.com", "cms.example.com", "core1.example.com")
    given_name, hosts, own, nothing, twin = (core(ca, name, shared) for name in ("a1", "core1", "b1", "c1", "d1"))
    hosts.hold("webadmin", (shared,), bundle=ca.bundle)
    nothing.hold("webadmin", (shared,), bundle=ca.bundle)
    twin.hold("webadmin", (shared,), bundle=ca.bundle)
    made = drafted(
        node(given_name, "A9.Example.com"),
        node(hosts, "10.0.0.2", hostname="core1"),
        node(own, "10.0.0.3", hostname="b7"),
        node(nothing, "2001:db8::1"),
        node(twin, "10.0.0.5", hostname="core1"),
    )

    assert [(name, form["fqdn"]) for name, form in made.document["servers"].items()] == [
        ("a9", "a9.example.com"),
        ("core1", "core1.example.com"),
        ("b7", "b1.example.com"),
        ("2001-db8-1", "2001-db8-1"),
        ("core1-2", "core1"),
    ]
    assert "could not be known: the full host name" in said_of(made, "2001-db8-1")
    assert "core1 stands in for it" in said_of(made, "core1-2")


def test_a_server_without_anything() -> None:
    """A server that holds nothing is there, with its address for a name."""
    made = drafted(node(ToyServer(name="x"), "10.0.0.9"))

    assert made.document["servers"] == {"10-0-0-9": {"address": "10.0.0.9", "fqdn": "10.0.0.9", "release": "3.9"}}
    assert set(made.document) == {"version", "fleet", "servers"}


def test_a_lone_server_is_called_as_its_certificate(ca: ThrowAwayCa) -> None:
    """With one server there is no other that could have the name."""
    server = ToyServer(name="x")
    own = leaf(ca, None, "cms.example.com")
    server.hold("webadmin", (own,), bundle=ca.bundle)
    server.hold("turn", (own,), bundle=ca.bundle)

    assert drafted(node(server, "10.0.0.9")).document["servers"]["cms"]["fqdn"] == "cms.example.com"


# Databases


def member(address: str, *, me: bool = False, role: Any = "replica") -> DatabaseMember:  # noqa: ANN401 - a literal
    """Return a row of a status screen."""
    return DatabaseMember(address=address, me=me, connected=True, role=role, in_sync=True)


FILES = DatabaseFiles(
    server_key="s.key", server_certificate="s.crt", client_key="c.key", client_certificate="c.crt", ca="ca.crt"
)


def database(
    ca: ThrowAwayCa, name: str, rows: tuple[DatabaseMember, ...], server: Certificate | None, client: Certificate
) -> Node:
    """Return a member of a cluster."""
    toy = ToyServer(name=name)
    toy.files = {"c.crt": (client,), "ca.crt": ca.bundle, **({"s.crt": (server,)} if server else {})}
    files = FILES if server else replace(FILES, server_key=None, server_certificate=None)
    state = DatabaseState(status="Enabled", standing=True, members=rows, interface="b", files=files)
    seen = node(toy)
    return replace(seen, observed=replace(seen.observed, database=Known(state)))


def rows_of(number: int) -> tuple[DatabaseMember, ...]:
    """Return the screen of node ``number``; 0 is that of a client. The first node is primary."""
    return (
        member("10.1.0.1", me=number == 1, role="primary"),
        member("db2.example.com", me=number == 2),
    )


def test_a_database_cluster(ca: ThrowAwayCa) -> None:
    """Nodes, clients, primary, interface, material, and the addresses of database interfaces."""
    server, client = leaf(ca, "db.example.com"), leaf(ca, "postgres")
    made = drafted(
        database(ca, "db1", rows_of(1), server, client),
        database(ca, "db2", rows_of(2), server, client),
        database(ca, "app", rows_of(0), None, client),
        node(ToyServer(name="edge1")),
    ).document

    assert made["databases"] == {
        "main": {
            "nodes": ["db1", "db2"],
            "clients": ["app"],
            "primary": "db1",
            "interface": "b",
            "server": "dbserver",
            "client": "dbclient",
            "ca": "corp-issuing",
        }
    }
    assert [form.get("database_address") for form in made["servers"].values()] == ["10.1.0.1", None, None, None]


def test_databases_with_a_certificate_for_each_member(ca: ThrowAwayCa) -> None:
    """Certificates of one shape are one entry, also where only the file tells them apart."""
    nodes = [
        database(ca, f"db{number}", rows_of(number), leaf(ca, f"db{number}.example.com"), leaf(ca, "postgres"))
        for number in (1, 2)
    ]
    certificates = drafted(*nodes).document["certificates"]

    assert certificates["dbserver"]["common_name"] == "{fqdn}"
    assert certificates["dbclient"] == {
        "common_name": "postgres",
        "sans": ["postgres"],
        "chain": "corp-issuing",
        "files": {"certificate": "pki/dbclient/{name}.crt"},
    }


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("alone", "db2.example.com belongs to it too and was not read"),
        ("primary", "its members do not name one and the same primary"),
        ("file", "not all of its certificates could be read on db1"),
        ("key", "not all of its certificates could be read on db2"),
        ("name", "its client certificate on db1 is not for postgres"),
        ("ca", "its members do not hold the same CA"),
        ("shape", "its members have certificates of different shapes"),
    ],
)
def test_clusters_that_are_left_out(ca: ThrowAwayCa, change: str, why: str) -> None:
    """A cluster that was not seen as a whole is not asked for at all, and neither is its material."""
    server, client = leaf(ca, "db.example.com"), leaf(ca, "postgres" if change != "name" else "other")
    second = leaf(ca, "quite.different.org") if change == "shape" else server
    nodes = [database(ca, "db1", rows_of(1), server, client), database(ca, "db2", rows_of(2), second, client)]
    if change == "alone":
        del nodes[1]
    elif change == "primary":
        nodes[1] = database(ca, "db2", (member("10.1.0.1"), member("db2.example.com", me=True)), server, client)
        nodes[0] = database(ca, "db1", (member("10.1.0.1", me=True), member("db2.example.com")), server, client)
    elif change == "file":
        contents = {**nodes[0].observed.contents, "s.crt": ABSENT}
        nodes[0] = replace(nodes[0], observed=replace(nodes[0].observed, contents=contents))
    elif change == "key":
        state = nodes[1].database
        assert state is not None
        broken = Known(replace(state, files=replace(FILES, client_key=None)))
        nodes[1] = replace(nodes[1], observed=replace(nodes[1].observed, database=broken))
    elif change == "ca":
        other = StoredFile(name="ca.crt", sha256="0" * 64, certificates=ca.bundle[:1])
        contents = {**nodes[1].observed.contents, "ca.crt": Known(other)}
        nodes[1] = replace(nodes[1], observed=replace(nodes[1].observed, contents=contents))
    made = drafted(*nodes)

    assert "databases" not in made.document
    assert "certificates" not in made.document
    assert why in "\n".join(made.remarks["servers",])


def test_two_clusters_and_none(ca: ThrowAwayCa) -> None:
    """Members that show no address in common are of different clusters; a client that joins two is one with them."""
    server, client = leaf(ca, "db.example.com"), leaf(ca, "postgres")
    one = (member("10.1.0.1", me=True, role="primary"),)
    two = (member("[x", me=True, role="primary"),)
    made = drafted(database(ca, "a", one, server, client), database(ca, "b", two, server, client)).document

    assert [form["nodes"] for form in made["databases"].values()] == [["a"], ["b"]]
    assert "database_address" not in made["servers"]["b"]


# Grouping


@st.composite
def held(draw: st.DrawFn) -> tuple[list[tuple[str, str, int]], list[tuple[str, ...]]]:
    """Draw which of twelve certificates lies in which slot of which server, and with which chain."""
    slots = ("webadmin", "callbridge", "turn", "database-client")
    places = [(server, slot) for server in ("s1", "s2", "s3") for slot in slots]
    chosen = draw(st.lists(st.sampled_from(places), unique=True, min_size=1))
    uses = [(server, slot, draw(st.integers(0, 11))) for server, slot in chosen]
    return uses, [draw(st.sampled_from([("-",), (), ("a",), ("a", "b")])) for _ in uses]


@pytest.fixture(scope="module")
def pool(ca: ThrowAwayCa) -> list[Certificate]:
    """Twelve certificates: own names, shared names, the same name several times."""
    names = [f"s{number}.example.com" for number in (1, 2, 3)] * 2 + ["postgres"] * 3 + ["join.example.com"] * 3
    return [leaf(ca, name) for name in names]


@settings(max_examples=300)
@given(case=held())
def test_every_place_keeps_its_own_leaf_and_chain(case: Any, pool: list[Certificate]) -> None:  # noqa: ANN401 - see held
    """However it is grouped: each place is in one group, with the leaf it holds, the names that hold, its own chain."""
    fqdns = {f"s{number}": f"s{number}.example.com" for number in (1, 2, 3)}
    tails = {"a": pool[0], "b": pool[1]}
    uses = [
        Use(
            place=(server, slot),
            leaf=pool[number],
            tail=None if tail == ("-",) else frozenset(tails[one] for one in tail),
        )
        for (server, slot, number), tail in zip(*case, strict=True)
    ]
    groups = group(uses, fqdns)

    assert sorted(place for one in groups for place in one.places) == sorted(use.place for use in uses)
    assert len({one.name for one in groups}) == len(groups)
    by_place = {place: one for one in groups for place in one.places}
    for use in uses:
        found = by_place[use.place]
        server = use.place[0]
        assert found.leaves.get(server, found.leaves.get(None)) == use.leaf
        filled = found.common_name.replace("{fqdn}", fqdns[server]).replace("{name}", server)
        assert filled == use.leaf.common_name
        assert use.tail is None or found.chain == use.tail
    assert groups == group(uses, fqdns)
