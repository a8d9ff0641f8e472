from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from cmscert.errors import InputError
from cmscert.inventory.load import read_outline
from cmscert.inventory.outline import (
    AcmeIssuer,
    CmsCaIssuer,
    CommandIssuer,
    DirectoryIssuer,
    LocalCaIssuer,
    SlotOutline,
)
from cmscert.inventory.slots import identity_slots, services, slots_of
from cmscert.model.desired import Due, Ignore, KeepRuns
from cmscert.model.login import SecretRef, Timeouts
from cmscert.model.names import Release
from cmscert.testing.inventories import SMALL, Folder

SSH = "ssh: {user: admin, password: {env: CMS_PASSWORD}, known_hosts: known_hosts}"
CORE1 = 'core1: {address: 10.0.0.1, fqdn: core1.example.com, release: "3.9", roles: [core]'

# Everything that services can be given, by release.
NEW = """
    webadmin: {certificate: node, bundle: corp, address: 10.1.0.1, port: 445}
    callbridge:
      certificate: node
      bundle: corp
      trust: {c2w: corp, cluster: [corp, other], branding: corp, ucm: corp, imps: corp}
    webbridge3: {https: node, c2w: {certificate: node, trust: corp}}
    turn: node
    recorder: {certificate: node, bundle: corp}
    streamer: node
    uploader: {trust: {cms: corp, rev: other}}
    scheduler: {https: {certificate: node, port: 8443}, c2w: {certificate: node, trust: {leaves_of: webbridge3/c2w}}}
    meetingapps: node
    tls: {sip: {trust: corp}, ldap: {trust: other}}
"""
OLD = """
    webadmin: node
    callbridge: {trust: {c2w: corp}}
    webbridge: {certificate: node, bundle: corp, trust: {leaves_of: recorder}}
    xmpp: {certificate: node, trust: {cluster: {leaves_of: xmpp}}}
    loadbalancer: {tag: edge, certificate: node, trust: {leaves_of: xmpp}}
    trunk: {tag: core, certificate: node, trust: corp}
    recorder: {certificate: node, trust: corp}
    streamer: {certificate: node, trust: corp}
    h323_gateway: {certificate: node, trust: [corp, other]}
"""


def with_role(text: str) -> str:
    """Return the small inventory with other services in its role."""
    return SMALL.replace("    webadmin: {certificate: node, bundle: corp}\n", text.strip("\n") + "\n").replace(
        "  corp: [", "  other: [pki/other.crt]\n  corp: ["
    )


def slots(folder: Folder, server: str = "core1") -> dict[str, SlotOutline]:
    """Return a server's slots by name."""
    return {slot.slot: slot for slot in folder.outline().server(server).slots}


@pytest.mark.parametrize(("name", "servers"), [("cluster", 6), ("issued", 4), ("legacy-2.9", 3), ("single", 1)])
def test_the_shipped_inventories_are_read(name: str, servers: int) -> None:
    """The four inventories of the repository are well formed, and every certificate in them is used."""
    outline = read_outline(Path(__file__).parents[2] / "inventories" / f"{name}.yaml")

    assert servers == len(outline.servers)
    assert outline.unused == ()


def test_every_slot_of_a_new_release_can_be_written(folder: Folder) -> None:
    """On the newest release the inventory reaches every slot of the service table."""
    folder.write(with_role(NEW).replace('"3.9"', '"3.12"'))

    assert set(slots_of(Release(3, 12))) == set(slots(folder))


def test_every_slot_of_an_old_release_can_be_written(folder: Folder) -> None:
    """Together with the common ones, 2.9 has its slots too."""
    folder.write(with_role(OLD).replace('"3.9"', '"2.9"'))
    common = {"callbridge", "callbridge/trust-cluster", "callbridge/trust-branding", "turn"}
    common |= {"webbridge3/https", "webbridge3/c2w", "webbridge3/trust-c2w", "tls/trust-sip", "tls/trust-ldap"}

    assert set(slots_of(Release(2, 9))) - common == set(slots(folder)) - {"callbridge"}


def test_what_slots_say(folder: Folder) -> None:
    """Short forms, lists, leaves, tags, addresses and ports end in the slot."""
    new = slots(folder.write(with_role(NEW)))
    old = slots(folder.write(with_role(OLD).replace('"3.9"', '"2.9"')))

    assert new["webadmin"] == SlotOutline(
        slot="webadmin", certificate="node", bundle="corp", address="10.1.0.1", port=445
    )
    assert new["turn"] == SlotOutline(slot="turn", certificate="node")
    assert new["callbridge/trust-cluster"] == SlotOutline(slot="callbridge/trust-cluster", trust=("corp", "other"))
    assert new["scheduler/trust-c2w"].leaves_of == "webbridge3/c2w"
    assert old["loadbalancer"] == SlotOutline(slot="loadbalancer", certificate="node", tag="edge", leaves_of="xmpp")
    assert old["h323_gateway"].trust == ("corp", "other")
    assert old["h323_gateway"].trusts
    assert "callbridge" not in old


def test_without_a_release_every_slot_is_known(folder: Folder) -> None:
    """An inventory that leaves the release open may name any slot."""
    folder.write(with_role(NEW + "    xmpp: node\n").replace(', release: "3.9"', ""))

    assert {"xmpp", "meetingapps"} <= set(slots(folder))
    assert folder.outline().server("core1").release is None


def test_a_release_need_not_be_quoted(folder: Folder) -> None:
    """3.10 is the release 3.10, with quotes or without."""
    assert Release(3, 10) == folder.write(SMALL.replace('"3.9"', "3.10")).outline().server("core1").release


def test_own_services_win_slot_by_slot(folder: Folder) -> None:
    """A server's own entry replaces a slot of its roles and leaves their other slots alone."""
    role = "    webadmin: {certificate: node, bundle: corp}\n    callbridge: {certificate: node, trust: {c2w: corp}}\n"
    text = with_role(role).replace(CORE1, f"{CORE1}, services: {{callbridge: {{certificate: node, bundle: corp}}}}")
    own = slots(folder.write(text))

    assert own["callbridge"].bundle == "corp"
    assert own["callbridge/trust-c2w"].trust == ("corp",)
    assert "webadmin" in own
    assert slots(folder, "core2")["callbridge"].bundle is None


def test_own_services_settle_what_roles_disagree_on(folder: Folder) -> None:
    """Roles that disagree are no fault where the server says it itself; roles that agree never are."""
    text = SMALL.replace(
        "servers:", "  same: {webadmin: {certificate: node, bundle: corp}}\n  other: {webadmin: node}\nservers:"
    )
    text = text.replace(f"{CORE1}}}", f"{CORE1[:-1]}, same, other], services: {{webadmin: node}}}}")

    assert slots(folder.write(text))["webadmin"].bundle is None


def test_templates_make_one_certificate_per_server(folder: Folder) -> None:
    """{fqdn} and {name} are filled in for every server that uses the certificate; others are shared."""
    text = SMALL.replace("roles:", "  all: {common_name: all.example.com, sans: [{fqdns_of: core}], chain: corp,\n"
                         "    files: {certificate: all.crt, key: all.key}}\nroles:", 1)  # fmt: skip
    folder.write(text.replace("    webadmin:", "    turn: all\n    webadmin:"))
    outline = folder.outline()
    node = outline.certificate("node", "core2")
    shared = outline.certificate("all", "core2")

    assert (node.server, node.common_name, node.declared) == ("core2", "core2.example.com", ("core2.example.com",))
    assert node.certificate_path == folder.path / "pki/core2.crt"
    assert node.key_path == folder.path / "pki/core2.key"
    assert shared.server is None
    assert shared.declared == ("all.example.com", "core1.example.com", "core2.example.com")
    assert {("node", "core1"), ("node", "core2"), ("all", None)} == set(outline.certificates)


def test_paths_are_as_the_user_gave_them(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path stays relative: nothing of an outline knows where the machine keeps it."""
    folder.write(SMALL)
    monkeypatch.chdir(folder.path)
    outline = read_outline(Path("inventory.yaml"))

    assert outline.file == "inventory.yaml"
    assert outline.bundles["corp"].paths == (Path("pki/issuing-ca.crt"), Path("pki/root-ca.crt"))
    assert outline.server("core1").login.known_hosts == "known_hosts"


LOGINS: list[tuple[str, str, dict[str, object]]] = [
    (
        "{user: a, password: {env: P}, known_hosts: k}",
        "",
        {"user": "a", "password": SecretRef(kind="env", value=("P",)), "port": 22},
    ),
    (
        "{user: a, key: {file: k}, key_passphrase: {env: P}, known_hosts: k, port: 2200}",
        "",
        {
            "key": SecretRef(kind="file", value=("k",)),
            "key_passphrase": SecretRef(kind="env", value=("P",)),
            "port": 2200,
        },
    ),
    (
        "{user: a, key: {file: k}, known_hosts: k}",
        "user: b, password: {command: [pass, cms]}",
        {"user": "b", "key": None, "password": SecretRef(kind="command", value=("pass", "cms"))},
    ),
    ("{user: a, agent: yes, known_hosts: k, legacy: true}", "legacy: false", {"agent": True, "legacy": False}),
    (
        "{user: a, agent: true, known_hosts: k}",
        "password: {keyring: {service: s, user: u}}",
        {"agent": False, "password": SecretRef(kind="keyring", value=("s", "u"))},
    ),
    (
        "{user: a, agent: true, known_hosts: k, timeout: {answer: 5, login: 1.5}}",
        "timeout: {answer: 7}",
        {"timeouts": Timeouts(answer=7, login=1.5)},
    ),
    ("{user: a, agent: true}", "known_hosts: /etc/hosts-of-cms", {"known_hosts": "/etc/hosts-of-cms"}),
]


@pytest.mark.parametrize(("ssh", "own", "expected"), LOGINS)
def test_logins(folder: Folder, ssh: str, own: str, expected: dict[str, object]) -> None:
    """A server's ``ssh`` overrides key by key; its own way to log in replaces the other ways."""
    text = SMALL.replace(SSH, f"ssh: {ssh}")
    for name in ("core1", "core2"):
        text = text.replace(f"{name}: {{", f"{name}: {{ssh: {{{own}}}, " if own else f"{name}: {{")
    login = folder.write(text).outline().server("core1").login

    assert expected == {name: getattr(login, name) for name in expected}


@pytest.mark.parametrize(("written", "starts"), [("~/known", os.path.expanduser("~")), ("~nobody-of-that-name/k", "")])  # noqa: PTH111 - what is checked
def test_home_folders(folder: Folder, written: str, starts: str) -> None:
    """``~`` is the home folder; that of an unknown user stays as it was written."""
    login = (
        folder.write(SMALL.replace("known_hosts: known_hosts", f"known_hosts: {written}"))
        .outline()
        .server("core1")
        .login
    )

    assert login.known_hosts.startswith(starts or str(folder.path))


def test_issuers_and_what_goes_with_them(shipped: Callable[[str], Folder]) -> None:
    """Every kind of issuer, the store, the subject and keys of issued certificates are in the outline."""
    folder = shipped("issued")
    outline = folder.outline()

    assert [AcmeIssuer, DirectoryIssuer, CommandIssuer, LocalCaIssuer, CmsCaIssuer] == [
        type(outline.issuers[name]) for name in ("public", "corp", "vault", "lab", "dbca")
    ]
    assert outline.issuers["vault"] == CommandIssuer(name="vault", run=("step", "ca", "sign", "{csr}", "{certificate}"))
    assert outline.store is not None
    assert outline.store.path == folder.path / ".cmscert"
    assert outline.subject == {"O": "Example Ltd", "OU": "Collaboration", "L": "London", "ST": "London", "C": "GB"}
    node = outline.certificate("node", "core1")
    assert (node.issuer, node.key_made, node.key_type, node.key_bits) == ("lab", "device", "rsa", 2048)
    assert outline.bundles["dbca"].issuer == "dbca"
    assert outline.databases[0].nodes == ("core1", "core2", "core3")


def test_norway_is_a_country(folder: Folder) -> None:
    """``C: NO`` stays a country, which YAML 1.1 takes for false."""
    assert folder.write(SMALL + "subject: {C: NO}\n").outline().subject == {"C": "NO"}


@pytest.mark.parametrize(
    ("policy", "due"),
    [
        ("{}", Due(life_left=Fraction(1, 3))),
        ("{renew_when: {life_left: 0.25}}", Due(life_left=Fraction(1, 4))),
        ("{renew_when: {days_left: 30}}", Due(life_left=None, time_left=timedelta(days=30))),
        ("{renew_when: {days_left: 30, life_left: 1/5}}", Due(life_left=Fraction(1, 5), time_left=timedelta(days=30))),
    ],
)
def test_renewal_policy(folder: Folder, policy: str, due: Due) -> None:
    """A third of its life by default; days alone switch the share off; both count when both are given."""
    assert due == folder.write(SMALL + f"policy: {policy}\n").outline().policy.renew_when


def test_the_rest_of_the_policy(folder: Folder) -> None:
    """All other keys of the policy arrive as they were written."""
    text = "policy: {one_at_a_time: [turn], keep_revisions: 5, max_servers_changed: 3, profile: strict,\n"
    text += "  seconds: {turn: 7}, keep_runs: {count: 9},\n"
    text += "  ignore: [{reason: lab, server: 'core*', slot: turn, drift: expires-soon, until: 2027-03-31}]}\n"
    policy = folder.write(SMALL + text).outline().policy

    assert (policy.one_at_a_time, policy.keep_revisions, policy.max_servers_changed) == (("turn",), 5, 3)
    assert policy.keep_runs == KeepRuns(count=9, days=730)
    assert (policy.profile, dict(policy.seconds)) == ("strict", {"turn": 7})
    assert policy.ignore == (
        Ignore(reason="lab", server="core*", slot="turn", drift="expires-soon", until="2027-03-31"),
    )


def test_unused_certificates_are_known(folder: Folder) -> None:
    """A certificate that nothing uses is named, and none of its files is wanted."""
    text = SMALL.replace("roles:", "  spare: {common_name: a, files: {certificate: a.crt, key: a.key}}\nroles:", 1)
    outline = folder.write(text).outline()

    assert outline.unused == ("spare",)
    assert ("spare", None) not in outline.certificates


def test_names_that_are_not_there_raise_key_error(folder: Folder) -> None:
    """Looking up an unknown server or certificate raises KeyError."""
    outline = folder.write(SMALL).outline()
    with pytest.raises(KeyError):
        outline.server("core9")
    with pytest.raises(KeyError):
        outline.certificate("nope", "core1")


def test_the_service_table_as_inventories_see_it() -> None:
    """Identity slots are found by service and by slot; every service has a name."""
    assert identity_slots("webbridge3") == ("webbridge3/https", "webbridge3/c2w")
    assert identity_slots("webbridge3/c2w") == ("webbridge3/c2w",)
    assert identity_slots("uploader") == ()
    assert identity_slots("nope") == ()
    assert "h323_gateway" in services()


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "huge", "folder is a file", "long name", "zero byte"])
def test_an_inventory_that_cannot_be_read(folder: Folder, kind: str) -> None:
    """What is no readable file gets one fault with its name."""
    path = folder.inventory
    said = "no such file"
    if kind == "directory":
        path.mkdir()
        said = "is a directory, not a file"
    elif kind == "fifo":
        os.mkfifo(path)
        said = "is not a regular file"
    elif kind == "huge":
        with path.open("wb") as stream:
            stream.truncate(50_000_000)
        said = "is 50 MB large, more than the 5 MB that are read"
    elif kind == "folder is a file":
        folder.write("version: 1")
        path, said = path / "inventory.yaml", "cannot be read: not a directory"
    elif kind == "long name":
        path, said = path.with_name("x" * 300), "cannot be read: file name too long"
    elif kind == "zero byte":
        path, said = path.with_name("a\0b"), "is not a file name"
    with pytest.raises(InputError) as caught:
        read_outline(path)

    assert [f"{path}: {said}"] == [str(fault) for fault in caught.value.faults]


def test_the_hint_names_the_next_step(folder: Folder) -> None:
    """Every refusal of an inventory says where its keys are explained."""
    with pytest.raises(InputError) as caught:
        folder.write("{}").outline()

    assert "docs/reference/inventory.md" in (caught.value.hint or "")
