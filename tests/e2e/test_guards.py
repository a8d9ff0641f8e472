"""Guards through the command line: the plan is shown, then refused with 7, nothing is sent; ``--allow`` lifts it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from cmscert.lab import minting

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]


@pytest.fixture(scope="module")
def fleet(shared_bench: MakeBench) -> Any:  # noqa: ANN401 - the bench of conftest
    """A cluster with old certificates; every test leaves it as it found it."""
    return shared_bench("cluster.yaml", "aged")


def refused(fleet: Any, cli: Cli, guard: str, *parts: str, inventory: Path | None = None, code: int = 7) -> None:  # noqa: ANN401 - the bench of conftest
    """Hold that the plan is shown, that apply is refused by that name, and that nothing changes."""
    place = inventory or fleet.inventory
    marks = fleet.marks()
    plan = cli("plan", place, "--format", "json").document("plan")
    ran = cli("apply", place, "--yes")
    assert guard in {refusal["guard"] for refusal in plan["refusals"]}, plan["refusals"]
    assert ran.code == code, ran
    assert "Refused as it stands" in ran.out
    assert f"({guard})" in ran.err
    assert f"--allow {guard}" in ran.err
    assert [part for part in parts if part not in ran.err] == [], ran.err
    assert fleet.since(marks) == {}


def lifted(cli: Cli, inventory: Path, *guards: str) -> None:
    """Hold that the guards are no longer in the way: without a yes, the question is what refuses now."""
    allowed = [word for guard in guards for word in ("--allow", guard)]
    ran = cli("apply", inventory, *allowed)
    assert ran.code in (4, 7)
    assert "--yes" in ran.err, ran.err
    assert not any(f"({guard})" in ran.err for guard in guards)


def desk_of(fleet: Any, folder: Path) -> Path:  # noqa: ANN401 - the bench of conftest
    """Copy what reaches the fleet, to change it."""
    shutil.copytree(fleet.folder, folder / "desk")
    inventory: Path = folder / "desk" / fleet.inventory.name
    return inventory


def reissue(folder: Path, name: str, *, sans: list[str] | None = None, client: bool = True) -> None:
    """Issue a certificate of the inventory anew, by the lab's own CA, with fewer names or uses."""
    old = x509.load_pem_x509_certificate((folder / "pki" / f"{name}.crt").read_bytes())
    issuer = x509.load_pem_x509_certificate((folder / "pki" / "issuing-ca.crt").read_bytes())
    key = serialization.load_pem_private_key(minting.key_pem(minting.new_key("ec")), None)
    signer = minting.new_key("rsa")  # the lab keeps no CA key: another CA of the same name, so the bundle is new too
    now = datetime.now(UTC)
    authority = (
        x509.CertificateBuilder(issuer.subject, issuer.subject, signer.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=300))
        .not_valid_after(now + timedelta(days=3000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    uses = [x509.ExtendedKeyUsageOID.SERVER_AUTH] + [x509.ExtendedKeyUsageOID.CLIENT_AUTH] * client
    names = old.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    leaf = (
        x509.CertificateBuilder(authority.subject, old.subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=199))
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(san) for san in sans or names]), critical=False)
        .sign(signer, hashes.SHA256())
    )
    (folder / "pki" / f"{name}.crt").write_bytes(minting.pem([leaf]))
    (folder / "pki" / f"{name}.key").write_bytes(minting.key_pem(key))
    (folder / "pki" / "new-ca.crt").write_bytes(minting.pem([authority]))
    inventory = folder / "cluster.yaml"
    text = inventory.read_text()
    head, mark, rest = text.partition(f"  {name}:\n")
    rest = rest.replace("chain: corp", "chain: new", 1)
    text = head + mark + rest
    text = text.replace(f"certificate: {name}\n      bundle: corp", f"certificate: {name}\n      bundle: new")
    inventory.write_text(text.replace("bundles:\n", "bundles:\n  new:\n  - pki/new-ca.crt\n", 1))


def test_last_call_bridge(fleet: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """The only call bridge that works is not restarted."""
    others = ("core1", "core2", "core3")
    for name in others:
        fleet.node(name).machine.services["callbridge"].running = False
        for listening in fleet.node(name).machine.services["callbridge"].listening.values():
            fleet.do(_close(listening.listener))
    try:
        refused(fleet, cli, "last-call-bridge", "core4", "core1, core2, core3 do not answer now")
        lifted(cli, fleet.inventory, "last-call-bridge")
    finally:
        for name in others:
            fleet.do(_again(fleet.node(name)))
        fleet.settled()


async def _close(listener: Any) -> None:  # noqa: ANN401 - the lab's own
    listener.close()


async def _again(node: Any) -> None:  # noqa: ANN401 - the lab's own
    node.machine.bring_up("callbridge")


def test_too_many_servers(fleet: Any, cli: Cli, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """More servers than the policy allows are not changed in one run; --select narrows it."""
    inventory = desk_of(fleet, tmp_path)
    inventory.write_text(inventory.read_text().replace("policy:\n", "policy:\n  max_servers_changed: 2\n"))
    refused(fleet, cli, "too-many-servers", "6 servers change", "allows 2", inventory=inventory)
    lifted(cli, inventory, "too-many-servers")
    narrowed = cli("plan", inventory, "--select", "server=edge*", "--format", "json").document("plan")
    assert "too-many-servers" not in {refusal["guard"] for refusal in narrowed["refusals"]}


def test_names_lost(fleet: Any, cli: Cli, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """A certificate that lacks a name that the old one has is not bound."""
    inventory = desk_of(fleet, tmp_path)
    text = inventory.read_text()
    assert "    - fqdns_of: edge\n" in text
    inventory.write_text(text.replace("    - fqdns_of: edge\n", ""))
    reissue(inventory.parent, "join", sans=["join.example.com"])
    refused(fleet, cli, "names-lost", "edge1", "lacks edge1.example.com, edge2.example.com", inventory=inventory)
    lifted(cli, inventory, "names-lost")


def test_client_auth_gone(fleet: Any, cli: Cli, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """A TLS server may lose clientAuth, as with every public certificate now: that is told, and refuses nothing."""
    inventory = desk_of(fleet, tmp_path)
    reissue(inventory.parent, "join", client=False)
    plan = cli("plan", inventory, "--format", "json").document("plan")

    gone = {(notice["server"], notice["slot"]) for notice in plan["notices"] if notice["reason"] == "client-auth-gone"}
    assert ("edge1", "webbridge3/https") in gone
    assert "client-auth-lost" not in {refusal["guard"] for refusal in plan["refusals"]}


def test_unread_server(fleet: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """While a server cannot be read, the others are shown and nothing is changed: 4 outweighs the refusal."""
    fleet.node("edge2").faults.reject_password = True
    try:
        refused(fleet, cli, "unread-server", "edge2", code=4)
        lifted(cli, fleet.inventory, "unread-server")
    finally:
        fleet.node("edge2").faults.reject_password = False


@pytest.mark.parametrize("date_command", [True, False])
def test_clock_skew(fleet: Any, cli: Cli, *, date_command: bool) -> None:  # noqa: ANN401 - the bench of conftest
    """A server whose clock is wrong is not changed, however its clock is told."""
    node = fleet.node("core3")
    node.spec.clock_skew = 1200.0
    node.switches.date_command = date_command
    try:
        refused(fleet, cli, "clock-skew", "core3", "20 minutes ahead", "NTP")
        lifted(cli, fleet.inventory, "clock-skew")
    finally:
        node.spec.clock_skew = 0.0
        node.switches.date_command = True


def test_peer_refused(shared_bench: MakeBench, cli: Cli) -> None:
    """A trust that would lock out a peer that the inventory leaves alone is not changed."""
    issued = shared_bench("issued.yaml", "new-ca")
    refused(issued, cli, "peer-refused", "would no longer accept", "that trust too")
    lifted(cli, issued.inventory, "peer-refused")


def test_all_refusals_at_once(fleet: Any, cli: Cli, tmp_path: Path) -> None:  # noqa: ANN401 - the bench of conftest
    """Every guard that holds is told at once, and lifting one leaves the others."""
    inventory = desk_of(fleet, tmp_path)
    inventory.write_text(inventory.read_text().replace("policy:\n", "policy:\n  max_servers_changed: 2\n"))
    fleet.node("core3").spec.clock_skew = -1200.0
    try:
        refused(fleet, cli, "too-many-servers", "(clock-skew)", inventory=inventory)
        ran = cli("apply", inventory, "--yes", "--allow", "clock-skew")
        assert ran.code == 7
        assert "(too-many-servers)" in ran.err
        assert "(clock-skew)" not in ran.err
        lifted(cli, inventory, "clock-skew", "too-many-servers")
    finally:
        fleet.node("core3").spec.clock_skew = 0.0


def test_lifted_guard_is_applied(bench: MakeBench, cli: Cli) -> None:
    """What was allowed is done."""
    made = bench("single.yaml", "faults")
    made.node("cms").spec.clock_skew = 1200.0
    marks = made.marks()
    assert cli("apply", made.inventory, "--yes").code == 7
    assert made.since(marks) == {}
    assert cli("apply", made.inventory, "--yes", "--allow", "clock-skew").code == 0
    assert cli("plan", made.inventory, "--detailed-exitcode").code == 0


def test_allow_of_no_guard(fleet: Any, cli: Cli) -> None:  # noqa: ANN401 - the bench of conftest
    """A name that is no guard lifts nothing, and nothing is changed without a yes."""
    marks = fleet.marks()
    ran = cli("apply", fleet.inventory, "--allow", "no-such-guard")
    assert ran.code in (2, 7)
    assert fleet.since(marks) == {}
