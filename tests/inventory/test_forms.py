from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cmscert.testing.inventories import SMALL, Folder

CASES = [
    case
    for name in ("malformed", "unsound")
    for case in yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text())
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["said"][0].split(": ")[1])
def test_a_malformed_inventory(folder: Folder, case: dict[str, object]) -> None:
    """Each way to write an inventory wrongly gets its place, its path of keys, and what to write instead."""
    assert case["old"] in SMALL
    faults = folder.write(SMALL.replace(str(case["old"]), str(case["new"]), 1)).faults()

    assert case["said"] == [str(fault).removeprefix(f"{folder.inventory}:") for fault in faults]
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
    """Malformed keys, unknown names, wrong slots, duplicates and missing files come at once, in file order."""
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
    assert len(folder.faults()) == 5


@pytest.mark.parametrize("key", ["<", "<env>", "[key]", "{fqdn}", ""])
def test_odd_keys_are_unknown_keys(folder: Folder, key: str) -> None:
    """A key may look like whatever it wants: it is unknown."""
    fault = folder.write(f"{SMALL}'{key}': x\n").fault()

    assert fault.message.startswith("unknown key")


def test_when_nothing_sensible_is_left(folder: Folder) -> None:
    """When every server is malformed, what stands in them is reported and nothing else is guessed."""
    text = SMALL.replace("address:", "adress:").replace("bundle: corp", "bundle: crop")

    assert {"missing-key", "unknown-key"} == {fault.reason for fault in folder.write(text).faults()}
