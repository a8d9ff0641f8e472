from __future__ import annotations

import pytest

from cmscert.testing.inventories import SMALL, Folder

SECRET = (
    "a secret is never written here: say where it is kept, with {env: NAME}, {file: PATH}, {command: [PROGRAM, ...]} or "
    "{keyring: {service: S, user: U}}"
)
SSH = "ssh: {user: admin, password: {env: CMS_PASSWORD}, known_hosts: known_hosts}"
NODE = 'common_name: "{fqdn}"'
ROLE = "    webadmin: {certificate: node, bundle: corp}"
CORE1 = "core1: {address: 10.0.0.1,"
NAME_RULE = "use letters, digits, hyphens and underscores, at most"

# What is written instead of what, and the only fault that it makes.
FORMS = [
    ("version: 1", "version: 2", "1:10: version: must be 1"),
    ("version: 1\n", "", "1:1: the key version is missing"),
    ("version: 1", "version:", "1:1: a key without a value: give it one or remove it"),
    ("fleet: small", "fleet: a b", "2:8: fleet: use letters, digits, hyphens, dots and underscores, at most 64, a letter or digit first"),
    ("fleet: small", "fleet: small\nflet: x", "3:1: flet: unknown key; did you mean fleet?"),
    ("fleet: small", "fleet: small\nzzz: x", "3:1: zzz: unknown key; known are bundles, certificates, databases, fleet, issuers, policy, roles, servers, ssh, store, subject, version"),
    (SSH, "ssh: {user: admin, password: hunter2, known_hosts: x}", f"3:30: ssh.password: {SECRET}"),
    (SSH, "ssh: {user: admin, password: [hunter2], known_hosts: x}", f"3:20: ssh.password: {SECRET}"),
    (SSH, "ssh: {user: admin, password: {hunter2: x}, known_hosts: x}", f"3:20: ssh.password: {SECRET}"),
    (SSH, "ssh: {user: admin, password: {env: A, file: b}, known_hosts: x}", f"3:20: ssh.password: {SECRET}"),
    (SSH, "ssh: {user: admin, password: {env: hunter!2}, known_hosts: x}", "3:36: ssh.password.env: use the name of an environment variable"),
    (SSH, "ssh: {user: admin, password: {command: pass cms}, known_hosts: x}", "3:40: ssh.password.command: must be a list"),
    (SSH, "ssh: {user: admin, password: {command: []}, known_hosts: x}", "3:31: ssh.password.command: must not be empty"),
    (SSH, "ssh: {user: admin, password: {keyring: cms}, known_hosts: x}", "3:40: ssh.password.keyring: must be a mapping"),
    (SSH, SSH.replace("}, known", "}, port: 70000, known"), "3:57: ssh.port: must be at most 65535"),
    (SSH, SSH.replace("}, known", "}, port: ssh, known"), "3:57: ssh.port: must be a whole number"),
    (SSH, SSH.replace("}, known", "}, legacy: maybe, known"), "3:59: ssh.legacy: must be true or false"),
    (SSH, SSH.replace("}, known", "}, timeout: {answer: 0}, known"), "3:69: ssh.timeout.answer: must be more than 0.0"),
    (SSH, SSH.replace("}, known", "}, timeout: {answer: nan}, known"), "3:69: ssh.timeout.answer: must be a number"),
    (SSH, SSH.replace("}, known", "}, timeout: {anwser: 1}, known"), "3:61: ssh.timeout.anwser: unknown key; did you mean answer?"),
    ("  corp: [pki/issuing-ca.crt, pki/root-ca.crt]", "  corp: pki/ca.crt", "5:9: bundles.corp: use a list of certificate files, or {issuer: NAME}"),
    ("  corp: [pki/issuing-ca.crt, pki/root-ca.crt]", "  corp: []", "5:3: bundles.corp: must not be empty"),
    ("  corp: [", "  co rp: [x]\n  corp: [", f"5:3: bundles.co rp: {NAME_RULE} 51, a letter or digit first"),
    ("  corp: [", "  ca: {isuer: x}\n  corp: [", ["5:3: bundles.ca: the key issuer is missing", "5:8: bundles.ca.isuer: unknown key; did you mean issuer?"]),
    (NODE, f"{NODE}\n    naming: newest", "9:13: certificates.node.naming: must be new or fixed"),
    (NODE, f"{NODE}\n    key: {{type: dsa}}", "9:17: certificates.node.key.type: must be rsa or ec"),
    (NODE, f"{NODE}\n    key: {{bits: 12}}", "9:17: certificates.node.key.bits: must be at least 256"),
    (f"    {NODE}\n", "", "7:3: certificates.node: the key common_name is missing"),
    (NODE, 'common_name: ""', "8:18: certificates.node.common_name: use at least one character, at most 4096, and no control characters"),
    (NODE, 'common_name: "a\\nb"', "8:18: certificates.node.common_name: use at least one character, at most 4096, and no control characters"),
    ('sans: ["{fqdn}"]', "sans: all", "9:11: certificates.node.sans: must be a list"),
    ('sans: ["{fqdn}"]', "sans: [[x]]", "9:12: certificates.node.sans[0]: use a name, or {fqdns_of: ROLE}"),
    (ROLE, "    webadmn: node", "14:5: roles.core.webadmn: unknown key; did you mean webadmin?"),
    (ROLE, "    webadmin: [node]", "14:5: roles.core.webadmin: must be a mapping"),
    (ROLE, "    webadmin: {certificat: node}", "14:16: roles.core.webadmin.certificat: unknown key; did you mean certificate?"),
    (ROLE, "    webbridge3: {https: {certificate: node, bundle: corp}}", "14:45: roles.core.webbridge3.https.bundle: unknown key; this slot takes no bundle, its certificate file holds the full chain"),
    (ROLE, "    callbridge: {trust: corp}", "14:25: roles.core.callbridge.trust: must be a mapping"),
    (ROLE, "    callbridge: {trust: {c2w: []}}", "14:26: roles.core.callbridge.trust.c2w: must not be empty"),
    (ROLE, "    callbridge: {trust: {c2w: {leafs_of: x}}}", ["14:26: roles.core.callbridge.trust.c2w: the key leaves_of is missing", "14:32: roles.core.callbridge.trust.c2w.leafs_of: unknown key; did you mean leaves_of?"]),
    (ROLE, "    loadbalancer: {certificate: node, trust: corp}", "14:5: roles.core.loadbalancer: the key tag is missing"),
    (ROLE, "    webadmin: {certificate: node, port: 0}", "14:41: roles.core.webadmin.port: must be at least 1"),
    (ROLE, "    webadmin: {certificate: node, address: 'a b'}", "14:44: roles.core.webadmin.address: use a host name or an IP address, without a port"),
    (CORE1, "core 1: {address: 10.0.0.1,", "16:3: servers.core 1: use letters, digits, hyphens, dots and underscores, at most 64, a letter or digit first"),
    (CORE1, "core1: {adress: 10.0.0.1,", ["16:3: servers.core1: the key address is missing", "16:11: servers.core1.adress: unknown key; did you mean address?"]),
    (CORE1, "core1: {address: 'https://x/',", "16:20: servers.core1.address: use a host name or an IP address, without a port"),
    ("fqdn: core1.example.com", "fqdn: core1..com", "16:36: servers.core1.fqdn: use a full host name"),
    (', release: "3.9", roles: [core]}\n  core2', ', release: latest, roles: [core]}\n  core2', '16:64: servers.core1.release: use a release like "3.9"'),
    (CORE1, f"{CORE1} labels: {{a b: x}},", f"16:39: servers.core1.labels.a b: {NAME_RULE} 64, a letter or digit first"),
    (CORE1, f"{CORE1} labels: {{a: [x]}},", "16:39: servers.core1.labels.a: must be a text"),
    ("servers:\n", "policy: {renew_when: {life_left: 3/2}}\nservers:\n", "15:34: policy.renew_when.life_left: use a share between 0 and 1, such as 1/3 or 0.25"),
    ("servers:\n", "policy: {renew_when: {life_left: 1/0}}\nservers:\n", "15:34: policy.renew_when.life_left: use a share between 0 and 1, such as 1/3 or 0.25"),
    ("servers:\n", "policy: {ignore: [{server: x}]}\nservers:\n", "15:19: policy.ignore[0]: the key reason is missing"),
    ("servers:\n", "policy: {ignore: [{reason: x, until: soon}]}\nservers:\n", "15:38: policy.ignore[0].until: use a day like 2027-03-31"),
    ("servers:\n", "policy: {ignore: [{reason: x, until: [soon]}]}\nservers:\n", "15:31: policy.ignore[0].until: use a day like 2027-03-31"),
    ("servers:\n", "policy: {profile: lax}\nservers:\n", "15:19: policy.profile: must be default or strict"),
    ("servers:\n", "issuers: {a: {directory: x}}\nservers:\n", "15:11: issuers.a: an issuer needs a type: acme, directory, command, local_ca or cms_ca"),
    ("servers:\n", "issuers: {a: lab}\nservers:\n", "15:14: issuers.a: an issuer needs a type: acme, directory, command, local_ca or cms_ca"),
    ("servers:\n", "issuers: {a: {type: acme, directory: 'http://x', challenge: {dns_01: {command: [x]}}}}\nservers:\n", "15:38: issuers.a.directory: must be an https address"),
    ("servers:\n", "issuers: {a: {type: acme, directory: 'https://x', challenge: {dns_01: {comand: [x]}}}}\nservers:\n", ["15:63: issuers.a.challenge.dns_01: the key command is missing", "15:72: issuers.a.challenge.dns_01.comand: unknown key; did you mean command?"]),
    ("servers:\n", "issuers: {a: {type: local_ca, certificate: x, key: hunter2}}\nservers:\n", f"15:52: issuers.a.key: {SECRET}"),
    ("servers:\n", "store: {path: x, passphrase: hunter2}\nservers:\n", f"15:30: store.passphrase: {SECRET}"),
    ("servers:\n", "subject: {C: England}\nservers:\n", "15:14: subject.C: use the two letters of ISO 3166"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), FORMS)
def test_a_malformed_inventory(folder: Folder, old: str, new: str, said: str | list[str]) -> None:
    """Each way to write a key wrongly gets its place, its path of keys, and what to write instead."""
    assert old in SMALL
    faults = folder.write(SMALL.replace(old, new, 1)).faults()

    assert [f"{folder.inventory}:{one}" for one in ([said] if isinstance(said, str) else said)] == [
        str(f) for f in faults
    ]
    assert not any("hunter" in str(fault) for fault in faults)


@pytest.mark.parametrize("text", ["text", "[]", "3", "~", "[version, 1]"])
def test_no_mapping_at_all(folder: Folder, text: str) -> None:
    """A document that is not a mapping is one fault."""
    assert "must be a mapping" in folder.write(text).fault().message


def test_an_empty_mapping_names_what_is_missing(folder: Folder) -> None:
    """The three keys that no inventory can be without are named at once."""
    messages = [fault.message for fault in folder.write("{}").faults()]

    assert [f"the key {key} is missing" for key in ("fleet", "servers", "version")] == sorted(messages)


def test_an_inventory_without_servers(folder: Folder) -> None:
    """An inventory wants at least one server."""
    fault = folder.write(SMALL.split("servers:")[0] + "servers: {}\n").fault()

    assert "servers: must not be empty" in str(fault)


def test_every_kind_of_fault_at_once(folder: Folder) -> None:
    """Malformed keys, unknown names, wrong slots, duplicates and missing files are reported in one go, in file order."""
    text = (
        SMALL.replace("fleet: small", "fleet: small\nfleet: large")
        .replace("known_hosts: known_hosts", "known_hosts: known_hosts, prot: 22")
        .replace("bundle: corp", "bundle: corpse")
        .replace("10.0.0.2", "10.0.0.1")
        .replace("roles:\n", "  other: {common_name: a, chain: corp, filse: {}}\nroles:\n", 1)
    )
    faults = folder.write(text).faults(material=True)

    reasons = [fault.reason for fault in faults]
    assert [(fault.line, fault.column) for fault in faults] == sorted((fault.line, fault.column) for fault in faults)
    expected = {"duplicate-key", "unknown-key", "unknown-reference", "duplicate-address", "unreadable-file"}
    assert expected == set(reasons)


def test_a_malformed_entry_makes_no_followers(folder: Folder) -> None:
    """What leans on a malformed certificate, role, bundle or ssh is not called undeclared."""
    text = (
        SMALL.replace('common_name: "{fqdn}"', 'comon_name: "{fqdn}"')
        .replace("corp: [pki/issuing-ca.crt, pki/root-ca.crt]", "corp: 3")
        .replace("user: admin", "usr: admin")
        .replace("webadmin: {", "webadmn: {")
    )

    assert {"unknown-key", "invalid-value", "missing-key"} == {fault.reason for fault in folder.write(text).faults()}
    assert 5 == len(folder.faults())
