"""``renew``: requests, issuers, the store, and what fails without holding anything else up. Servers are in memory."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cmscert.app.ports import Ports
from cmscert.app.renew import RenewOptions, renew
from cmscert.app.supplies import open_store, supplies_of
from cmscert.cli.commands.renew import code_of
from cmscert.errors import InputError, LockHeld, SecretError, Unreachable
from cmscert.inventory.load import Loaded, load
from cmscert.issue.store import Store
from cmscert.lab.fleet import LabFleet
from cmscert.lab.spec import NodeSpec
from cmscert.model.login import Login
from cmscert.model.results import RenewReport, RenewRow
from cmscert.pki.keys import read_key
from cmscert.pki.pem import to_pem
from cmscert.pki.request import read_request
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.inventories import SMALL, Folder
from cmscert.testing.lab_session import LabSession, Trouble, Wire

NOW = datetime.fromisoformat("2026-11-23T12:00:00+00:00")
YEAR = timedelta(days=365)
BASE = (
    SMALL.replace('files: {certificate: "pki/{name}.crt", key: "pki/{name}.key"}', "issuer: lab")
    .replace(
        "roles:\n",
        "  shared: {common_name: cms.example.com, sans: [{fqdns_of: core}], chain: corp, issuer: people}\nroles:\n",
        1,
    )
    .replace("    webadmin:", "    callbridge: {certificate: shared, bundle: corp}\n    webadmin:")
    .replace(
        "servers:\n",
        "store: {path: store, passphrase: {env: STORE_PASSPHRASE}}\n"
        "subject: {O: Example Ltd, C: GB}\n"
        "issuers:\n"
        "  lab: {type: local_ca, certificate: pki/issuing-ca.crt, key: {file: pki/issuing-ca.key}, days: 90}\n"
        "  people: {type: directory, requests: csr, certificates: signed}\n"
        "servers:\n",
    )
)
DEVICE = BASE.replace("    issuer: lab", "    issuer: lab\n    key: {made: device}")
CMS_CA = BASE.replace(
    "  lab: {type: local_ca, certificate: pki/issuing-ca.crt, key: {file: pki/issuing-ca.key}, days: 90}",
    "  lab: {type: cms_ca, server: core2, basename: ownca, common_name: example.com}",
).replace("    chain: corp\n    issuer: lab", "    issuer: lab")


@dataclass
class Scene:
    """An inventory with its CA, and two servers in memory.

    ``away``: servers that cannot be reached. ``sessions``: how often one was asked for.
    """

    folder: Folder
    ca: ThrowAwayCa
    lab: LabFleet = field(init=False)
    wire: Wire = field(default_factory=Wire)
    away: set[str] = field(default_factory=set)
    now: datetime = NOW
    sessions: int = 0

    def __post_init__(self) -> None:
        self.lab = LabFleet(
            [
                NodeSpec(name=name, hostname=name, address=f"10.0.0.{number}", fqdn=f"{name}.example.com")
                for number, name in enumerate(("core1", "core2"), start=1)
            ],
            plugged=False,
        )

    @property
    def ports(self) -> Ports:
        """Doors to the servers in memory; reading sessions and probes are never asked for."""

        @asynccontextmanager
        async def writer(login: Login, *_: object) -> AsyncIterator[LabSession]:
            self.sessions += 1
            if login.server in self.away:
                raise Unreachable(login.server, "no TCP connection", hint="start it")
            yield LabSession(node=self.lab.node(login.server), wire=self.wire)

        def never(*_: object) -> None:
            raise AssertionError("renew neither reads through other sessions nor probes")

        return Ports(reader=never, writer=writer, probe=never, clock=lambda: self.now)  # type: ignore[arg-type]  # doors

    async def renew(self, **options: object) -> RenewReport:
        """Renew, without waiting for real."""
        return await renew(
            self.folder.inventory,
            self.ports,
            now=self.now,
            options=RenewOptions(**options),  # type: ignore[arg-type]  # a test names options
            sleep=lambda _seconds: asyncio.sleep(0),
        )

    def sign(self, name: str = "shared", **wishes: object) -> None:
        """Sign a request of the folder, as people do, under a file name of their own."""
        request = read_request((self.folder.path / f"csr/{name}.csr").read_bytes(), file="csr")
        made = self.ca.issue(
            request.common_name,
            request.sans,
            key=request_key(request.der),  # type: ignore[arg-type]  # a public key will do
            **{"not_before": self.now - timedelta(days=1), "not_after": self.now + YEAR, **wishes},  # type: ignore[arg-type]
        )
        (self.folder.path / "signed/back from the CA.pem").write_bytes(to_pem((made.certificate,)))


def request_key(der: bytes) -> object:
    """Return something that stands for a key pair of which only the public half is there."""
    from cryptography import x509

    class Half:
        def public_key(self) -> object:
            return x509.load_der_x509_csr(der).public_key()

    return Half()


def rows(report: RenewReport) -> dict[str, RenewRow]:
    """Return the rows by certificate and server."""
    return {row.certificate if row.server is None else f"{row.certificate}/{row.server}": row for row in report.rows}


def states(report: RenewReport) -> dict[str, str]:
    """Return how each certificate came out."""
    return {name: row.state for name, row in rows(report).items()}


def loaded(stage: Scene) -> Loaded:
    """Load the inventory with what is in store, as plan does."""
    return load(stage.folder.inventory, now=stage.now, supply=supplies_of)


def plain(ca: ThrowAwayCa) -> bytes:
    """Return the key of a CA, unencrypted."""
    return ca.key_pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scene]:
    """Set an inventory up, with the CA that it names."""
    monkeypatch.setenv("STORE_PASSPHRASE", "correct horse")
    monkeypatch.setenv("CMS_PASSWORD", "lab")

    def make(text: str = BASE) -> Scene:
        folder = Folder(tmp_path).write(text).mint()
        ca = folder.cas["corp"]
        (tmp_path / "known_hosts").write_text("")
        (tmp_path / "pki/issuing-ca.key").write_bytes(plain(ca))
        return Scene(folder, ca)

    return make


MakeScene = Callable[..., Scene]


async def test_what_is_missing_is_obtained(scene: MakeScene) -> None:
    """A local CA signs at once; what people sign is waited for, and asked for once."""
    stage = scene()
    first = await stage.renew()
    request = (stage.folder.path / "csr/shared.csr").read_bytes()
    second = await stage.renew()

    assert states(first) == {"node/core1": "issued", "node/core2": "issued", "shared": "waiting"}
    assert states(second) == {"node/core1": "fresh", "node/core2": "fresh", "shared": "waiting"}
    assert (stage.folder.path / "csr/shared.csr").read_bytes() == request
    assert "sign csr/shared.csr and put it into signed" in str(rows(first)["shared"].why)
    assert (code_of(first), code_of(second)) == (10, 10)
    assert rows(first)["node/core1"].not_after == NOW - timedelta(minutes=10) + timedelta(days=90, seconds=-1)


async def test_a_signed_request_is_picked_up_under_any_name(scene: MakeScene) -> None:
    """What people put into the folder is known by its key; the request is withdrawn, and the material complete."""
    stage = scene()
    await stage.renew()
    stage.sign()
    report = await stage.renew()

    assert states(report)["shared"] == "issued"
    assert code_of(report) == 0
    assert not (stage.folder.path / "csr/shared.csr").exists()

    found = loaded(stage)
    material = next(
        slot.material  # type: ignore[union-attr]  # an identity
        for slot in found.desired.server("core1").slots
        if slot.slot == "callbridge"
    )
    assert found.desired.awaited == ()
    assert material.full_chain[1:] == stage.ca.bundle
    assert found.keys[material.spki].spki_sha256 == material.spki


async def test_nothing_due_needs_no_secret(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hourly run that has nothing to do opens no key, takes no lock and reaches no server."""
    stage = scene()
    await stage.renew()
    stage.sign()
    await stage.renew()
    monkeypatch.delenv("STORE_PASSPHRASE")
    stage.away = {"core1", "core2"}
    report = await stage.renew()

    assert set(states(report).values()) == {"fresh"}
    assert code_of(report) == 0


async def test_a_passphrase_that_comes_later(scene: MakeScene) -> None:
    """Keys that were kept open are encrypted by the next run after the inventory names a passphrase."""
    named = "store: {path: store, passphrase: {env: STORE_PASSPHRASE}}"
    stage = scene(BASE.replace(named, "store: {path: store}"))
    await stage.renew()
    keys = sorted((stage.folder.path / "store/material/keys").iterdir())
    assert all(b"BEGIN PRIVATE KEY" in key.read_bytes() for key in keys)
    inventory = stage.folder.inventory
    inventory.write_text(inventory.read_text().replace("store: {path: store}", named))
    await stage.renew(rehearse=True)
    assert all(b"BEGIN PRIVATE KEY" in key.read_bytes() for key in keys)
    await stage.renew()

    assert all(b"BEGIN ENCRYPTED PRIVATE KEY" in key.read_bytes() for key in keys)
    assert code_of(await stage.renew()) == 10


async def test_a_rehearsal_asks_nobody(scene: MakeScene) -> None:
    """With ``rehearse`` what is due is told, and nothing is written."""
    stage = scene()
    report = await stage.renew(rehearse=True)

    assert set(states(report).values()) == {"due"}
    assert {row.why for row in report.rows} == {"there is none yet"}
    assert not (stage.folder.path / "store").exists()
    assert not (stage.folder.path / "csr").exists()


async def test_a_selection_narrows(scene: MakeScene) -> None:
    """Servers, services and certificates can be chosen, and what is no selector is refused."""
    stage = scene()

    assert set(states(await stage.renew(select=("server=core1", "service=webadmin"), rehearse=True))) == {"node/core1"}
    assert set(states(await stage.renew(select=("certificate=shared",), rehearse=True))) == {"shared"}
    with pytest.raises(InputError, match="no selector"):
        await stage.renew(select=("core1",))


@pytest.mark.parametrize("slip", ["label.site=oslo", "certificate=nodes", "service=turn", "server=core9"])
async def test_a_selection_of_nothing(scene: MakeScene, slip: str) -> None:
    """What fits nothing of the fleet is a slip of the pen, not a fleet in which everything is fresh."""
    with pytest.raises(InputError, match=f"--select {slip} matches nothing in fleet small"):
        await scene().renew(select=(slip,))


@pytest.mark.parametrize("select", ["service=webbridge3", "service=webbridge3/https"])
async def test_a_service_is_selected_as_in_plan(scene: MakeScene, select: str) -> None:
    """A service chooses the certificates of all its slots, as it does for ``plan`` and ``apply``."""
    bridge = "    webbridge3: {https: {certificate: shared}}\n    webadmin:"
    stage = scene(BASE.replace("    callbridge: {certificate: shared, bundle: corp}\n    webadmin:", bridge))

    assert set(states(await stage.renew(select=(select,), rehearse=True))) == {"shared"}


async def test_a_database_is_selected_as_in_plan(scene: MakeScene) -> None:
    """``service=database`` chooses the certificates of clusters, of one by its name, and nothing else."""
    databases = (
        "databases:\n  main: {nodes: [core1], primary: core1, server: dbserver, client: dbclient, ca: corp}\nservers:\n"
    )
    certificates = (
        "  dbserver: {common_name: db.example.com, sans: [db.example.com], issuer: lab, chain: corp}\n"
        "  dbclient: {common_name: postgres, issuer: lab, chain: corp}\nroles:\n"
    )
    text = BASE.replace("servers:\n", databases, 1).replace("roles:\n", certificates, 1)
    stage = scene(text)

    for select in ("service=database", "service=database/main"):
        assert set(states(await stage.renew(select=(select,), rehearse=True))) == {"dbserver", "dbclient"}
    assert set(states(await stage.renew(select=("service=webadmin",), rehearse=True))) == {"node/core1", "node/core2"}


async def test_a_selection_without_issuers(scene: MakeScene) -> None:
    """A part of the fleet whose certificates are files has nothing to renew, and that is no fault."""
    own = "  own: {common_name: a.example.com, files: {certificate: pki/own.crt, key: pki/own.key}, chain: corp}\n"
    text = BASE.replace("    webadmin:", "    turn: {certificate: own}\n    webadmin:")
    text = text.replace("roles:\n", f"{own}roles:\n", 1)

    assert (await scene(text).renew(select=("service=turn",))).rows == ()


async def test_it_is_renewed_before_it_hurts(scene: MakeScene) -> None:
    """At a third of its life left a certificate is obtained anew with a new key, and the old one is kept a while."""
    stage = scene()
    before = rows(await stage.renew(select=("server=core1", "service=webadmin")))["node/core1"]
    old = open_store(stage.folder.outline(), keys=False).latest("node", "core1")
    assert before.due_at is not None
    stage.now = before.due_at - timedelta(seconds=1)
    early = await stage.renew(select=("server=core1", "service=webadmin"))
    stage.now = before.due_at
    late = await stage.renew(select=("server=core1", "service=webadmin"))
    found = open_store(stage.folder.outline(), keys=False).revisions("node", "core1")

    assert (states(early), states(late)) == ({"node/core1": "fresh"}, {"node/core1": "issued"})
    assert found[1] == old
    assert found[0].spki != found[1].spki
    assert str(rows(late)["node/core1"].why).startswith("due since 2027-01-22: expires in 29 days")


async def test_again_asks_for_what_is_fresh(scene: MakeScene) -> None:
    """A key that leaked is replaced at once."""
    stage = scene()
    await stage.renew(select=("certificate=node",))
    report = await stage.renew(select=("certificate=node", "server=core1"), again=True)

    assert states(report) == {"node/core1": "issued"}
    assert rows(report)["node/core1"].why == "asked for once more"


async def test_what_was_asked_for_again_is_waited_for(scene: MakeScene) -> None:
    """A key that leaked is replaced also when people sign: the runs that follow wait for them, and take it."""
    stage = scene()
    only = {"select": ("certificate=shared",)}
    await stage.renew(**only)
    stage.sign()
    await stage.renew(**only)
    (stage.folder.path / "signed/back from the CA.pem").unlink()
    asked = await stage.renew(**only, again=True)
    waiting = await stage.renew(**only)
    stage.sign()
    signed = await stage.renew(**only)

    assert [states(each) for each in (asked, waiting, signed)] == [
        {"shared": "waiting"},
        {"shared": "waiting"},
        {"shared": "issued"},
    ]
    assert rows(signed)["shared"].why == "asked for on 2026-11-23, not answered yet"
    assert states(await stage.renew(**only)) == {"shared": "fresh"}


async def test_what_is_not_wanted_any_more_is_forgotten(scene: MakeScene) -> None:
    """When the inventory is changed back, what was asked for meanwhile is no news any more, nor obtained."""
    stage = scene()
    only = {"select": ("certificate=shared",)}
    await stage.renew(**only)
    stage.sign()
    await stage.renew(**only)
    text = stage.folder.inventory.read_text()
    stage.folder.write(text.replace("sans: [{fqdns_of: core}]", "sans: [{fqdns_of: core}, more.example.com]"))
    await stage.renew(**only)
    stage.folder.write(text)
    await stage.renew(**only, rehearse=True)
    before = supplies_of(stage.folder.outline()).waiting
    report = await stage.renew(**only)

    assert states(report) == {"shared": "fresh"}
    assert (set(before), supplies_of(stage.folder.outline()).waiting) == ({("shared", None)}, {})


async def test_a_key_made_on_the_server_stays_there(scene: MakeScene) -> None:
    """The server makes the key under a name never used there; the request says all that the inventory says."""
    stage = scene(DEVICE)
    report = await stage.renew(select=("certificate=node",))
    stored = open_store(stage.folder.outline(), keys=True).latest("node", "core1")
    assert stored is not None
    node = stage.lab.node("core1")
    key = str(stored.device_key)

    assert states(report) == {"node/core1": "issued", "node/core2": "issued"}
    assert key.startswith("node-20261123-")
    assert read_key(bytes(node.files[key]), file=key).spki_sha256 == stored.spki
    assert not list((stage.folder.path / "store/material").glob("keys/*"))
    typed = stage.wire.sent[0][1]
    assert typed.startswith(f"pki csr {key.removesuffix('.key')} CN:core1.example.com")
    assert all(part in typed for part in ("Example Ltd", "C:GB", "subjectAltName:core1.example.com"))


@pytest.mark.parametrize(
    ("declared", "notes"),
    [
        ("type: rsa, bits: 2048", ()),
        ("bits: 4096", ("core1 made an rsa 2048 key, declared is 4096",)),
        ("type: ec", ("core1 made an rsa 2048 key, declared is ec",)),
    ],
)
async def test_a_server_makes_the_key_that_it_makes(scene: MakeScene, declared: str, notes: tuple[str, ...]) -> None:
    """Nobody can choose the kind of key that a server makes; that it is another one than declared is said."""
    stage = scene(DEVICE.replace("made: device", f"made: device, {declared}"))
    report = await stage.renew(select=("certificate=node", "server=core1"))

    assert states(report) == {"node/core1": "issued"}
    assert rows(report)["node/core1"].notes == notes


async def test_a_server_that_is_away_holds_nobody_up(scene: MakeScene) -> None:
    """The others get their certificates; the one that is away is told, and heard of because it has none."""
    stage = scene(DEVICE)
    stage.away = {"core1"}
    report = await stage.renew(select=("certificate=node",))

    assert states(report) == {"node/core1": "failed", "node/core2": "issued"}
    assert rows(report)["node/core1"].notes == ("start it",)
    assert code_of(report) == 4


async def test_what_failed_is_tried_again_later(scene: MakeScene, tmp_path: Path) -> None:
    """While there is time a failing issuer is left alone for a while, and is no alarm; ``again`` does not wait."""
    stage = scene()
    only = {"select": ("certificate=node", "server=core1")}
    first = rows(await stage.renew(**only))["node/core1"]
    assert first.due_at is not None
    assert first.not_after is not None
    (tmp_path / "pki/issuing-ca.key").rename(tmp_path / "pki/away.key")
    stage.now = first.due_at
    failed = await stage.renew(**only)
    put_off = await stage.renew(**only)
    again = await stage.renew(**only, again=True)
    stage.now = first.not_after - timedelta(days=14)
    loud = await stage.renew(**only)

    assert (states(failed), code_of(failed)) == ({"node/core1": "failed"}, 0)
    assert (states(put_off), code_of(put_off)) == ({"node/core1": "put-off"}, 0)
    assert "next try at 2027-01-22 12:04 UTC" in str(rows(put_off)["node/core1"].why)
    assert states(again) == {"node/core1": "failed"}
    assert (states(loud), code_of(loud)) == ({"node/core1": "failed"}, 4)
    (tmp_path / "pki/away.key").rename(tmp_path / "pki/issuing-ca.key")
    assert states(await stage.renew(**only)) == {"node/core1": "issued"}
    assert open_store(stage.folder.outline(), keys=False).record("node", "core1").failures is None


async def test_programs_do_not_meet(scene: MakeScene) -> None:
    """A program that allows no second one beside it, such as certbot, is run for one certificate after the other."""
    issuer = '{type: command, run: [sh, -c, "mkdir busy || exit 9; sleep 0.2; rmdir busy; exit 8"]}'
    text = re.sub(r"\{type: local_ca.*\}", issuer, BASE)
    stage = scene(text.replace("    issuer: lab", "    issuer: lab\n    key: {type: ec}"))
    report = await stage.renew(select=("certificate=node",))

    assert {row.why for row in report.rows} == {"sh ended with code 8 and said nothing"}


async def test_an_issuer_that_asks_for_peace_gets_it(scene: MakeScene) -> None:
    """A CA that rations is not asked before its time, however urgent it is; that nothing is there stays loud."""
    stage = scene()
    only = {"select": ("certificate=node", "server=core1")}
    store = open_store(stage.folder.outline(), keys=False)
    store.fail("node", "core1", "rationed", issuer="lab", at=NOW, wait=timedelta(hours=30))
    stage.now = NOW + timedelta(hours=29)
    early = await stage.renew(**only)
    stage.now = NOW + timedelta(hours=30)

    assert (states(early), code_of(early)) == ({"node/core1": "put-off"}, 4)
    assert "next try at 2026-11-24 18:00 UTC" in str(rows(early)["node/core1"].why)
    assert states(await stage.renew(**only)) == {"node/core1": "issued"}


async def test_another_issuer_is_asked_at_once(scene: MakeScene) -> None:
    """What the issuer before it asked for is not its business, and neither is what it said."""
    stage = scene()
    only = {"select": ("certificate=node", "server=core1")}
    store = open_store(stage.folder.outline(), keys=False)
    store.fail("node", "core1", "rationed", issuer="other", at=NOW, wait=timedelta(days=7))

    (owed,) = (each for each in loaded(stage).desired.awaited if (each.server, each.slot) == ("core1", "webadmin"))
    assert owed.why == "issuer lab has not been asked for it: run cmscert renew"
    assert states(await stage.renew(**only)) == {"node/core1": "issued"}


async def test_what_failed_is_over_when_people_are_at_work(scene: MakeScene, tmp_path: Path) -> None:
    """A folder that could not be written to is no news any more once the request lies in it."""
    stage = scene()
    only = {"select": ("certificate=shared",)}
    (tmp_path / "csr").write_text("no folder")
    failed = await stage.renew(**only)
    (tmp_path / "csr").unlink()
    waiting = await stage.renew(**only)

    assert (states(failed), states(waiting)) == ({"shared": "failed"}, {"shared": "waiting"})
    assert {each.why for each in loaded(stage).desired.awaited if each.certificate == "shared"} == {
        "asked of issuer people on 2026-11-23, not signed yet"
    }


async def test_the_ca_built_into_cms_signs(scene: MakeScene) -> None:
    """The CA is made when it is not there, signs what other servers need, and nothing of the asking stays."""
    stage = scene(CMS_CA)
    stage.now = datetime.now(UTC)  # the lab signs by the real clock
    report = await stage.renew(select=("certificate=node",))
    again = await stage.renew(select=("certificate=node",), again=True)
    stored = open_store(stage.folder.outline(), keys=False).latest("node", "core1")
    assert stored is not None

    assert states(report) == states(again) == {"node/core1": "issued", "node/core2": "issued"}
    assert [line.split()[1] for _, line in stage.wire.sent if line.startswith("pki")].count("selfsigned") == 1
    assert sorted(stage.lab.node("core2").files) == ["ownca.crt", "ownca.key"]
    assert stored.chain[-1].common_name == "example.com"
    assert stage.lab.node("core1").files == {}


async def test_half_a_ca_is_not_made_over(scene: MakeScene) -> None:
    """A CA of which only the key is left is a fault that a person mends."""
    stage = scene(CMS_CA)
    stage.now = datetime.now(UTC)  # the lab signs by the real clock
    stage.lab.node("core2").files["ownca.key"] = b"kept"
    report = await stage.renew(select=("certificate=node", "server=core1"))

    assert states(report) == {"node/core1": "failed"}
    assert "core2 has ownca.key and not the other half of its CA" in str(rows(report)["node/core1"].why)


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("pki csr", "failure", "pki csr node-20261123-"),
        ("pki csr", "lie", "after pki csr"),
        ("pki csr", "cut-after", "core1"),
    ],
)
async def test_a_server_that_does_not_do_its_part(scene: MakeScene, line: str, kind: str, text: str) -> None:
    """Whatever goes wrong on a server, its certificate failed, and the next run makes another request."""
    stage = scene(DEVICE)
    stage.wire.troubles = [Trouble(line=line, nth=1, kind=kind)]  # type: ignore[arg-type]  # kinds of trouble
    report = await stage.renew(select=("certificate=node", "server=core1"))
    stage.wire = Wire()

    assert states(report) == {"node/core1": "failed"}
    assert text in str(rows(report)["node/core1"].why)
    assert states(await stage.renew(select=("certificate=node", "server=core1"))) == {"node/core1": "issued"}


@pytest.mark.parametrize(
    ("line", "kind"), [("pki sign", "failure"), ("pki selfsigned", "failure"), ("pki sign", "lie")]
)
async def test_a_ca_on_a_server_that_does_not_sign(scene: MakeScene, line: str, kind: str) -> None:
    """A CA that refuses, or says that it signed and did not, is a failed issuer."""
    stage = scene(CMS_CA)
    stage.now = datetime.now(UTC)  # the lab signs by the real clock
    stage.wire.troubles = [Trouble(line=line, nth=1, kind=kind)]  # type: ignore[arg-type]  # kinds of trouble
    report = await stage.renew(select=("certificate=node", "server=core1"))

    assert states(report) == {"node/core1": "failed"}
    assert not [name for name in stage.lab.node("core2").files if name.startswith("cmscert-sign")]


async def test_what_cannot_be_used_is_not_kept(scene: MakeScene) -> None:
    """What lost a name is refused with the reason; the request stays for a better answer, an order for it does not."""
    stage = scene()
    await stage.renew()
    signed = stage.folder.path / "signed/back from the CA.pem"
    assert signed.parent.is_dir()
    request = read_request((stage.folder.path / "csr/shared.csr").read_bytes(), file="csr")
    poor = stage.ca.issue(
        "cms.example.com",
        ("cms.example.com",),
        key=request_key(request.der),  # type: ignore[arg-type]  # a public key will do
        not_before=NOW,
        not_after=NOW + YEAR,
    )
    signed.write_bytes(to_pem((poor.certificate,)))
    store = open_store(stage.folder.outline(), keys=False)
    store.remember("shared", None, {"order": "https://ca.example.net/order/1"})
    report = await stage.renew()
    pending = store.pending("shared", None)

    assert states(report)["shared"] == "failed"
    assert rows(report)["shared"].why == (
        "the certificate delivered cannot be used: "
        "the certificate cms.example.com: it does not cover core1.example.com, core2.example.com"
    )
    assert pending is not None
    assert pending.memo == {}
    assert "issuer people failed once: the certificate delivered" in str(supplies_of(stage.folder.outline()).waiting)
    stage.sign()
    assert states(await stage.renew())["shared"] == "issued"


async def test_a_changed_inventory_asks_anew(scene: MakeScene) -> None:
    """A request for other names is given up, and a certificate that lacks a name is obtained again."""
    stage = scene()
    await stage.renew()
    old = (stage.folder.path / "csr/shared.csr").read_bytes()
    text = stage.folder.inventory.read_text()
    stage.folder.write(text.replace("sans: [{fqdns_of: core}]", "sans: [{fqdns_of: core}, more.example.com]"))
    await stage.renew()

    assert (stage.folder.path / "csr/shared.csr").read_bytes() != old
    assert "more.example.com" in read_request((stage.folder.path / "csr/shared.csr").read_bytes(), file="x").sans


def replace_ca(stage: Scene, ca: ThrowAwayCa) -> None:
    """Put another CA in the place of the inventory's, below a root of its own."""
    pki = stage.folder.path / "pki"
    (pki / "issuing-ca.crt").write_bytes(ca.certificate_pem)
    (pki / "root-ca.crt").write_bytes(b"".join(to_pem((one,)) for one in ca.bundle[1:]))
    (pki / "issuing-ca.key").write_bytes(plain(ca))
    stage.ca = ca


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (
            'common_name: "{fqdn}"',
            'common_name: "x.{fqdn}"',
            "its common name is core1.example.com, declared is x.core1",
        ),
        ('"x.{fqdn}"]', '"x.{fqdn}", "y.{fqdn}"]', "it does not cover y.core1.example.com"),
    ],
)
async def test_what_is_in_store_is_no_longer_fit(scene: MakeScene, old: str, new: str, why: str) -> None:
    """Whatever keeps a stored certificate from being deployed is why another one is obtained, and that one will do."""
    only = {"select": ("certificate=node", "server=core1")}
    stage = scene(BASE.replace('sans: ["{fqdn}"]', 'sans: ["{fqdn}", "x.{fqdn}"]'))
    await stage.renew(**only)
    stage.folder.write(stage.folder.inventory.read_text().replace(old, new))
    owed = loaded(stage).desired.awaited
    report = await stage.renew(**only)

    assert any(each.server == "core1" and why in each.why for each in owed)
    assert states(report) == {"node/core1": "issued"}
    assert not [each for each in loaded(stage).desired.awaited if (each.server, each.slot) == ("core1", "webadmin")]
    assert states(await stage.renew(**only)) == {"node/core1": "fresh"}


async def test_another_ca_rotates_what_the_old_one_signed(scene: MakeScene) -> None:
    """When the bundle no longer holds the CA of a stored certificate, the next run obtains one from the new CA."""
    only = {"select": ("certificate=node",)}
    stage = scene()
    await stage.renew(**only)
    replace_ca(stage, ThrowAwayCa.root("New Root").intermediate("New CA"))
    report = await stage.renew(**only)
    stored = open_store(stage.folder.outline(), keys=False).latest("node", "core1")

    assert states(report) == {"node/core1": "issued", "node/core2": "issued"}
    assert stored is not None
    assert stored.chain[1:] == stage.ca.bundle
    assert states(await stage.renew(**only)) == {"node/core1": "fresh", "node/core2": "fresh"}


async def test_a_ca_that_is_renewed_with_its_key_renews_nobody(scene: MakeScene) -> None:
    """A certificate ends with the CA certificate that the bundle holds today: ``renew`` counts as ``plan`` does."""
    only = {"select": ("certificate=node", "server=core1")}
    text = BASE.replace("  lab: {type: local_ca", "  own: {type: local_ca")
    stage = scene(text.replace("issuer: lab", "issuer: people"))
    root = ThrowAwayCa.root("Root")
    ending = root.intermediate("Ending", not_after=NOW + timedelta(days=60))
    replace_ca(stage, ending)
    await stage.renew(**only)
    stage.sign("node-core1")
    first = rows(await stage.renew(**only))["node/core1"]
    replace_ca(stage, root.intermediate("Ending", key=ending.key_pair))
    second = rows(await stage.renew(**only))["node/core1"]
    material = loaded(stage).desired.server("core1").slots[0].material  # type: ignore[union-attr]  # an identity

    assert (first.state, first.not_after) == ("issued", NOW + timedelta(days=60))
    assert (second.state, second.not_after) == ("fresh", NOW + YEAR)
    assert material.full_chain[1:] == stage.ca.bundle


@pytest.mark.parametrize(
    ("old", "new", "state"),
    [
        ('sans: ["{fqdn}"]', 'sans: ["{fqdn}", "y.{fqdn}"]', "waiting"),
        ("issuer: people\n    key", "issuer: lab\n    key", "issued"),
    ],
)
async def test_a_request_of_a_server_is_given_up(scene: MakeScene, old: str, new: str, state: str) -> None:
    """Where the inventory asks for something else meanwhile, the server makes another key."""
    only = {"select": ("certificate=node", "server=core1")}
    stage = scene(DEVICE.replace("issuer: lab\n    key", "issuer: people\n    key"))
    await stage.renew(**only)
    stage.folder.write(stage.folder.inventory.read_text().replace(old, new))
    report = await stage.renew(**only)

    assert states(report) == {"node/core1": state}
    assert len([name for name in stage.lab.node("core1").files if name.endswith(".key")]) == 2


async def test_a_key_that_is_to_be_made_elsewhere(scene: MakeScene) -> None:
    """A request for a key on a server is given up when the key is to be made here, and nobody logs in for that."""
    only = {"select": ("certificate=node", "server=core1")}
    stage = scene(DEVICE.replace("issuer: lab\n    key", "issuer: people\n    key"))
    await stage.renew(**only)
    stage.folder.write(stage.folder.inventory.read_text().replace("    key: {made: device}\n", ""))
    sessions = stage.sessions
    report = await stage.renew(**only)
    pending = open_store(stage.folder.outline(), keys=False).pending("node", "core1")

    assert states(report) == {"node/core1": "waiting"}
    assert pending is not None
    assert pending.device_key is None
    assert stage.sessions == sessions


async def test_a_damaged_request_of_a_server(scene: MakeScene) -> None:
    """A request that is no longer what was written fails its certificate, and no other."""
    stage = scene(DEVICE.replace("issuer: lab\n    key", "issuer: people\n    key"))
    await stage.renew(select=("certificate=node", "server=core1"))
    (request,) = (stage.folder.path / "store/material/requests").iterdir()
    request.write_bytes(b"torn")
    report = await stage.renew(select=("certificate=node",))

    assert states(report) == {"node/core1": "failed", "node/core2": "waiting"}
    assert "the material store is damaged" in str(rows(report)["node/core1"].why)


async def test_what_was_put_off_needs_no_server(scene: MakeScene) -> None:
    """A run that leaves a failed certificate alone does not log in for it."""
    only = {"select": ("certificate=node", "server=core1")}
    stage = scene(DEVICE)
    first = rows(await stage.renew(**only))["node/core1"]
    assert first.due_at is not None
    stage.now = first.due_at
    stage.wire = Wire(troubles=[Trouble(line="pki csr", nth=1, kind="failure")])
    failed = await stage.renew(**only)
    sessions = stage.sessions

    assert states(failed) == {"node/core1": "failed"}
    assert states(await stage.renew(**only)) == {"node/core1": "put-off"}
    assert stage.sessions == sessions


async def test_two_runs_at_once_ask_once(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that waited for another one does not ask for what that one has obtained."""
    only = {"select": ("certificate=node", "server=core1")}
    stage = scene()
    held = Store.held
    first: list[RenewReport] = []

    @contextmanager
    def busy(store: Store, seconds: float = 1.0) -> Iterator[None]:
        monkeypatch.setattr(Store, "held", held)
        thread = threading.Thread(target=lambda: first.append(asyncio.run(stage.renew(**only))))
        thread.start()
        thread.join()
        with held(store, seconds):
            yield

    monkeypatch.setattr(Store, "held", busy)
    second = await stage.renew(**only)

    assert (states(first[0]), states(second)) == ({"node/core1": "issued"}, {"node/core1": "fresh"})


async def test_runs_do_not_meet_in_the_store(scene: MakeScene) -> None:
    """A second run that finds the store in use says so, and breaks nothing."""
    stage = scene()
    with open_store(stage.folder.outline(), keys=True).held(), pytest.raises(LockHeld, match="another run"):
        await asyncio.to_thread(lambda: open_store(stage.folder.outline(), keys=True).held(0.1).__enter__())


async def test_a_store_without_its_passphrase(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """New keys are never written without the passphrase that the inventory names."""
    stage = scene()
    monkeypatch.delenv("STORE_PASSPHRASE")

    with pytest.raises(SecretError, match="STORE_PASSPHRASE"):
        await stage.renew()


async def test_another_passphrase(scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip in the passphrase is said before there are keys that the right one does not open."""
    stage = scene()
    await stage.renew(select=("certificate=node", "server=core1"))
    monkeypatch.setenv("STORE_PASSPHRASE", "correct house")

    with pytest.raises(InputError, match="the passphrase does not open the key"):
        await stage.renew()
    assert len(list((stage.folder.path / "store/material/keys").iterdir())) == 1


async def test_an_inventory_without_issuers_has_nothing_to_renew(tmp_path: Path) -> None:
    """Files alone need no renewal; the run ends well."""
    stage = Scene(Folder(tmp_path).write(SMALL).mint(), ThrowAwayCa.root("Root"))
    report = await stage.renew()

    assert report.rows == ()
    assert replace(report, rehearsed=True).rehearsed
