"""What issuers delivered, and what they still owe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from cmscert.inventory.load import Loaded, load
from cmscert.inventory.supplies import Obtained, Supplies
from cmscert.model.desired import WantedIdentity
from cmscert.pki.keys import read_key
from cmscert.testing.inventories import NOW, SMALL, Folder

ISSUED = (
    SMALL.replace(
        "roles:\n",
        "  got: {common_name: a.example.com, issuer: lab, chain: corp}\nroles:\n",
        1,
    )
    .replace(
        "servers:\n",
        "issuers: {lab: {type: local_ca, certificate: pki/ca.crt, key: {file: ca.key}}}\nservers:\n",
    )
    .replace("  corp: [", "  own: {issuer: lab}\n  corp: [")
    .replace(
        "    webadmin:",
        "    callbridge: {certificate: node, trust: {c2w: own, cluster: {leaves_of: turn}}}\n"
        "    turn: {certificate: got, bundle: own}\n    webadmin:",
    )
)


def loaded_with(folder: Folder, supplies: Supplies) -> Loaded:
    """Load an inventory with what issuers delivered."""
    return load(folder.inventory, now=NOW, supply=lambda _outline: supplies)


def owed(loaded: Loaded) -> dict[str, str]:
    """Return why slots of core1 are left out."""
    return {one.slot: one.why for one in loaded.desired.awaited if one.server == "core1"}


@pytest.fixture
def issued(folder: Folder) -> Folder:
    """Give an inventory with one certificate and one bundle from an issuer."""
    return folder.write(ISSUED).mint()


def delivered(folder: Folder, name: str = "got", *, issuer: bool = True, **more: timedelta) -> Supplies:
    """Return a certificate for the shared name, with its key, and the CA that it is from."""
    at = {f"not_{which}": NOW + by for which, by in more.items()}
    names = ("a.example.com", "core1.example.com", "core2.example.com", "postgres")
    made = folder.cas["corp"].issue(
        "a.example.com" if name == "got" else "postgres",
        names,
        **at,  # type: ignore[arg-type]  # moments
    )
    return Supplies(
        obtained={(name, None): Obtained(chain=(made.certificate,))},
        keys={made.certificate.spki_sha256: read_key(made.key_pem, file="made")},
        issuers={"lab": folder.cas["corp"].bundle} if issuer else {},
    )


def test_slots_wait_for_what_an_issuer_owes(shipped: Callable[[str], Folder]) -> None:
    """Whatever leans on a certificate that is not there yet is left out and named; what needs files only stays."""
    desired = shipped("issued").load().desired
    awaited = {(one.server, one.slot): one for one in desired.awaited}

    assert [slot.slot for slot in desired.server("core1").slots] == ["callbridge/trust-c2w", "callbridge/trust-cluster"]
    assert awaited["edge1", "webbridge3/https"].certificate == "join"
    assert awaited["edge1", "webbridge3/https"].why == "issuer public has not been asked for it: run cmscert renew"
    assert {("core1", "webadmin"), ("core2", "webadmin"), ("core3", "webadmin"), ("edge1", "webadmin")} < set(awaited)
    assert [one.name for one in desired.databases] == ["main"]


def test_whatever_leans_on_an_issuer_waits(issued: Folder) -> None:
    """A bundle of an issuer, a chain of one, and leaf certificates that are partly obtained hold their slots up."""
    loaded = issued.load()

    assert set(owed(loaded)) == {"turn", "callbridge/trust-c2w", "callbridge/trust-cluster"}
    assert owed(loaded)["callbridge/trust-c2w"] == "issuer lab has delivered nothing yet: run cmscert renew"
    assert [slot.slot for slot in loaded.desired.server("core1").slots] == ["webadmin", "callbridge"]

    issued.write(ISSUED.replace("    chain: corp\n", "    chain: own\n"))

    assert issued.load().desired.server("core1").slots == ()


def test_what_was_delivered_is_wanted(issued: Folder) -> None:
    """With the certificate and the issuer's own CA in store nothing is owed, and the key is at hand."""
    supplies = replace(delivered(issued), pending={"core1": ("got-20260301-00000000.key",)})
    leaf = supplies.obtained["got", None].chain[0]
    loaded = loaded_with(issued, supplies)
    server = loaded.desired.server("core1")
    turn = server.slot("turn")

    assert loaded.desired.awaited == ()
    assert isinstance(turn, WantedIdentity)
    assert turn.material.full_chain == (leaf, *issued.cas["corp"].bundle)
    assert loaded.keys[leaf.spki_sha256] is supplies.keys[leaf.spki_sha256]
    assert set(loaded.keys) > set(supplies.keys)
    assert len(loaded.keys) == len(set(loaded.keys))
    assert server.pending == ("got-20260301-00000000.key",)
    assert "PRIVATE" not in repr(supplies)


def test_a_key_on_the_server_is_named(issued: Folder) -> None:
    """A certificate whose key stays on the server is wanted with the key's file name, and no key is at hand."""
    made = delivered(issued)
    chain = made.obtained["got", None].chain
    supplies = replace(made, obtained={("got", None): Obtained(chain=chain, device_key="got-1.key")}, keys={})
    loaded = loaded_with(issued, supplies)
    turn = loaded.desired.server("core1").slot("turn")

    assert isinstance(turn, WantedIdentity)
    assert turn.material.device_key == "got-1.key"
    assert chain[0].spki_sha256 not in loaded.keys
    with pytest.raises(KeyError):
        loaded.keys[chain[0].spki_sha256]


def test_why_it_waits_is_passed_on(issued: Folder) -> None:
    """Who keeps the requests knows best what a certificate waits for."""
    supplies = Supplies(waiting={("got", None): "waits for a signature since yesterday"})

    assert owed(loaded_with(issued, supplies))["turn"] == "waits for a signature since yesterday"


def test_a_successor_that_is_asked_for_is_a_renewal(issued: Folder) -> None:
    """While the certificate in store still does, what its successor waits for holds nothing up."""
    desired = loaded_with(issued, replace(delivered(issued), waiting={("got", None): "not signed yet"})).desired

    assert desired.awaited == ()
    assert [(one.certificate, one.server, one.why) for one in desired.renewals] == [("got", None, "not signed yet")]


def test_what_is_no_longer_fit_is_owed_again(issued: Folder) -> None:
    """An expired certificate from an issuer is no fault of the inventory: the next renewal replaces it."""
    loaded = loaded_with(issued, delivered(issued, before=timedelta(days=-90), after=timedelta(days=-1)))

    assert owed(loaded)["turn"] == "issuer lab: a.example.com expired on 2026-02-28 00:00 UTC: run cmscert renew"


def test_a_bundle_that_lacks_the_ca_is_for_a_person(folder: Folder) -> None:
    """Nothing that is obtained anew would verify to another CA's bundle: what has to change there is said."""
    text = ISSUED.replace("  corp: [", "  other: [pki/other.crt]\n  corp: [").replace("bundle: own", "bundle: other")
    folder.write(text).mint()
    loaded = loaded_with(folder, delivered(folder))

    assert owed(loaded)["turn"].endswith("bundle other has to hold the CA that signed it")


def test_a_chain_that_is_not_named_is_for_a_person(folder: Folder) -> None:
    """A chain is built with the bundle that the inventory names: another run could not build a better one."""
    text = ISSUED.replace("issuer: lab, chain: corp}", "issuer: lab}")
    text = text.replace("turn: {certificate: got, bundle: own}", "turn: node\n    webbridge3: {https: got}")
    folder.write(text).mint()
    loaded = loaded_with(folder, replace(delivered(folder), issuers={}))

    assert owed(loaded)["webbridge3/https"].endswith("certificate got needs a chain, the bundle of that CA")


def test_a_name_that_nobody_asked_for_is_for_a_person(folder: Folder) -> None:
    """With ``strict`` a place wants the server's own name, which is in no request until the inventory says so."""
    text = ISSUED.replace("fqdn: core1.", "fqdn: other.")
    text = text.replace("webadmin: {certificate: node, bundle: corp}", "webadmin: {certificate: got, bundle: corp}")
    folder.write(f"{text}policy: {{profile: strict}}\n").mint()
    loaded = loaded_with(folder, delivered(folder))

    assert owed(loaded)["webadmin"].endswith("the name by which webadmin is reached")


def test_small_flaws_of_what_was_delivered_are_warnings(issued: Folder) -> None:
    """What a strict profile refuses is a warning by default, at the certificate's entry."""
    supplies = delivered(issued, after=timedelta(days=20000))
    (warning,) = loaded_with(issued, supplies).warnings
    issued.write(ISSUED + "policy: {profile: strict}\n")
    strict = loaded_with(issued, supplies)

    assert (warning.path, warning.reason) == ("certificates.got", "outlives-issuer")
    assert warning.message.startswith("from issuer lab: ")
    assert "turn" in owed(strict)


def test_an_issued_database_waits_too(folder: Folder) -> None:
    """A cluster whose certificates come from an issuer is planned once they are there."""
    text = ISSUED.replace(
        "roles:\n", "  db: {common_name: postgres, sans: [{fqdns_of: core}], issuer: lab, chain: corp}\nroles:\n", 1
    )
    text += "databases: {main: {nodes: [core1], primary: core1, interface: a, server: db, client: db, ca: corp}}\n"
    folder.write(text).mint()
    before = folder.load().desired
    after = loaded_with(folder, delivered(folder, "db", issuer=False)).desired

    assert before.databases == ()
    assert {"database/main"} <= {one.slot for one in before.awaited}
    assert [one.name for one in after.databases] == ["main"]
