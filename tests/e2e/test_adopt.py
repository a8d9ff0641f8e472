"""A live fleet becomes an inventory that plans to nothing; nothing on the servers is changed, no key leaves them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from cmscert.lab.spec import NodeSpec
from cmscert.testing.ca import ThrowAwayCa

Cli = Callable[..., Any]
MakeBench = Callable[..., Any]
FLEETS = ("cluster.yaml", "single.yaml", "legacy-2.9.yaml", "issued.yaml")
PASSWORD = ("--password-env", "CMS_PASSWORD")


def targets(bench: Any) -> list[str]:  # noqa: ANN401 - a Bench
    """Return the nodes as they are named on the command line."""
    return [f"admin@{node.spec.bind}:{node.ssh_port}" for node in bench.fleet.nodes.values()]


def known(bench: Any) -> tuple[str, ...]:  # noqa: ANN401 - a Bench
    """Return the option that says which host keys are right."""
    return ("--known-hosts", str(bench.folder / "known_hosts"))


def logged_in(bench: Any) -> bool:  # noqa: ANN401 - a Bench
    """Tell whether any node was asked anything."""
    return any(node.history for node in bench.fleet.nodes.values())


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file below a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["wanted", "aged"])
@pytest.mark.parametrize("fleet", FLEETS)
def test_round_trip(bench: MakeBench, cli: Cli, tmp_path: Path, fleet: str, scenario: str) -> None:
    """What was adopted is valid and plans to nothing; on an aged fleet it only says what is due."""
    made = bench(fleet, scenario, databases=True)
    marks, out = made.marks(), tmp_path / "adopted" / "mine"
    ran = cli("adopt", *targets(made), *PASSWORD, *known(made), "--output", out)
    assert ran.code == 0, ran
    inventory = out / "mine.yaml"
    validated = cli("validate", inventory, "--format", "json")
    plan = cli("plan", inventory, "--format", "json", "--detailed-exitcode")

    assert validated.code == 0, validated
    assert plan.code == 0, plan
    document = plan.document("plan")
    assert (document["steps"], document["refusals"], document["unread"]) == ([], [], [])
    assert {drift["reason"] for drift in document["drift"]} == ({"expires-soon"} if scenario == "aged" else set())
    assert ("# found: webadmin: expires-soon" in inventory.read_text()) == (scenario == "aged")
    assert ("Nothing differs" in ran.out) == (scenario == "wanted")
    assert made.since(marks) == {}
    assert not any(b"PRIVATE KEY" in content for _, content in written(out))
    transfers = [line for node in made.fleet.nodes.values() for line in node.transfers]
    assert not [line for line in transfers if line.endswith(".key")]


def test_names_and_groups(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """The inventory reads as if somebody had written it: names, roles, templates, one entry for what is shared."""
    made = bench("cluster.yaml", "wanted", databases=True)
    out = tmp_path / "mine"
    assert cli("adopt", *targets(made), *PASSWORD, *known(made), "--output", out, "--fleet", "big").code == 0
    text = (out / "big.yaml").read_text()

    for line in (
        "fleet: big",
        'chain: issuing-ca-lab, files: {certificate: "pki/node/{name}.crt"}}',
        "    webadmin: {certificate: node, bundle: issuing-ca-lab}",
        "    nodes: [core1, core2, core3]",
        "    clients: [core4]",
        "    primary: core1",
        "database_address: 10.0.0.11",
        "roles: [edge]",
        "# could not be known: the port of callbridge",
    ):
        assert line in text, f"{line}\n{text}"


def test_what_is_wrong_stays_visible(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """Faults of the fleet are no reason not to adopt it: they are in the inventory as remarks, and in every plan."""
    made = bench("cluster.yaml", "faults", databases=True)
    out = tmp_path / "mine"
    ran = cli("adopt", *targets(made), *PASSWORD, *known(made), "--output", out)
    assert ran.code == 0, ran
    plan = cli("plan", out / "mine.yaml", "--format", "json").document("plan")
    reasons = {drift["reason"] for drift in plan["drift"]}

    assert {"key-mismatch", "bundle-order", "not-loaded", "expires-soon"} <= reasons
    for reason in reasons:
        assert f": {reason} (" in (out / "mine.yaml").read_text()
        assert f": {reason}: " in ran.out
    assert "key-not-here" in {refusal["guard"] for refusal in plan["refusals"]}


def test_host_keys_are_confirmed_first(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """Without a terminal a new host key is refused before anything is sent; as a fingerprint it is taken."""
    made = bench("single.yaml", "wanted")
    out = tmp_path / "mine"
    ran = cli("adopt", *targets(made), *PASSWORD, "--output", out)
    assert ran.code == 7
    assert "no terminal to confirm host keys on" in ran.err
    assert not logged_in(made)
    assert not out.exists()
    offered = ran.err.split("--host-key ")[1].split()[0]
    assert f"ssh-ed25519  {offered}" in ran.err
    wrong = cli("adopt", *targets(made), *PASSWORD, "--output", out, "--host-key", f"SHA256:{'x' * 43}")
    assert (wrong.code, logged_in(made)) == (7, False)
    assert cli("adopt", *targets(made), *PASSWORD, "--output", out, "--host-key", offered).code == 0
    assert cli("plan", out / "mine.yaml", "--detailed-exitcode").code == 0


def test_a_changed_host_key(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """A server whose listed host key is another one is refused, and not even asked about."""
    made, other = bench("single.yaml", "wanted"), bench("single.yaml", "wanted")
    place = f"[127.0.0.1]:{made.node('cms').ssh_port}"
    key = (other.folder / "known_hosts").read_text().split(maxsplit=1)[1]
    (tmp_path / "hosts").write_text(f"{place} {key}")
    hosts = ("--known-hosts", tmp_path / "hosts")
    ran = cli("adopt", *targets(made), *PASSWORD, *hosts, "--output", tmp_path / "mine")

    assert ran.code == 4
    assert "its host key has changed" in ran.err
    assert not logged_in(made)
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("keys", "write", "code"), [("no", "", 7), ("yes", "no", 7), ("yes", "yes", 0)], ids=["keys", "write", "both"]
)
def test_questions_on_a_terminal(bench: MakeBench, tmp_path: Path, keys: str, write: str, code: int) -> None:
    """Host keys are shown and asked about, then what was found; nothing is written without both answers."""
    made = bench("single.yaml", "wanted")
    out = tmp_path / "mine"
    words = ["-m", "cmscert", "adopt", *targets(made), *PASSWORD, "--output", str(out)]
    env = {**os.environ, "CMS_PASSWORD": "lab", "NO_COLOR": "1"}
    child = pexpect.spawn(sys.executable, words, env=env, encoding="utf-8", timeout=60, dimensions=(40, 120))
    child.expect("ssh-ed25519  SHA256:[A-Za-z0-9+/]{43}")
    child.expect("Are all of them right\\? Type yes: ")
    assert not logged_in(made)
    child.sendline(keys)
    if keys == "yes":
        child.expect("Write this to .*\\? Type yes: ")
        child.sendline(write)
    child.expect(pexpect.EOF)
    child.close()

    assert child.exitstatus == code
    assert out.exists() == (code == 0)
    assert logged_in(made) == (keys == "yes")


def test_a_wrong_password(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """Nothing can be read, so nothing is written."""
    made = bench("single.yaml", "wanted")
    out = tmp_path / "mine"
    ran = cli("adopt", *targets(made), *PASSWORD, *known(made), "--output", out, env={"CMS_PASSWORD": "wrong"})

    assert ran.code == 4
    assert "does not accept admin with this password" in ran.err
    assert list(tmp_path.glob("*mine*")) == []


@pytest.mark.parametrize("when", ["always", "after-the-host-key"])
def test_one_node_away(bench: MakeBench, cli: Cli, tmp_path: Path, when: str) -> None:
    """A node that cannot be read is told, and the rest is written with a remark in its place."""
    made = bench("cluster.yaml", "wanted", databases=True)
    named = targets(made)
    if when == "always":
        named[0] = "admin@127.0.0.1:1"
    else:
        named[0] = named[0].replace("admin@", "nobody@")
    out = tmp_path / "mine"
    ran = cli("adopt", *named, *PASSWORD, *known(made), "--output", out)
    text = (out / "mine.yaml").read_text()

    assert ran.code == 4, ran
    assert "# could not be read, and is not here: 127.0.0.1:" in text
    assert "is left out: 10.0.0.11 belongs to it too and was not read" in text
    assert "\ndatabases:" not in text
    assert cli("plan", out / "mine.yaml", "--detailed-exitcode").code == 0


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_nothing_is_overwritten(bench: MakeBench, cli: Cli, tmp_path: Path, kind: str) -> None:
    """What is there already is left as it is, before anything is read; an empty folder is taken."""
    made = bench("single.yaml", "wanted")
    out = tmp_path / "mine"
    if kind == "file":
        out.write_text("x")
    elif kind == "folder":
        out.mkdir()
        (out / "mine.yaml").write_text("x")
    else:
        out.symlink_to(tmp_path)
    ran = cli("adopt", *targets(made), *PASSWORD, *known(made), "--output", out)

    assert ran.code == 7
    assert "nothing is overwritten" in ran.err
    assert "--output" in ran.err
    assert not logged_in(made)
    (tmp_path / "empty").mkdir()
    assert cli("adopt", *targets(made), *PASSWORD, *known(made), "--output", tmp_path / "empty").code == 0


HOSTILE = "../../x\n  evil: {env: HOME} # \x1b[31m{fqdn}"


def test_hostile_nodes(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """Names with path parts, YAML and control characters become plain file names and quoted text."""
    ca = ThrowAwayCa.root("../../" + "pki\x07: [x]\n- y")
    issued = ca.issue(HOSTILE, sans=("a.example.com",))

    def change(specs: dict[str, NodeSpec]) -> None:
        spec = specs["cms"]
        spec.hostname = "../x\x1b]0;y\x07"
        spec.files |= {"h-$(id).crt": issued.certificate_pem, "h.key": issued.key_pem, "t: x.crt": ca.bundle_pem}
        slot = spec.services["webadmin"].slots["webadmin"]
        slot.certificate, slot.key, slot.bundle = "h-$(id).crt", "h.key", "t: x.crt"

    made = bench("single.yaml", "wanted", change=change)
    out = tmp_path / "a" / "mine"
    ran = cli("adopt", *targets(made), *PASSWORD, *known(made), "--output", out)
    text = (out / "mine.yaml").read_text()

    assert ran.code == 0, ran
    assert "\x1b" not in ran.out + ran.err + text
    assert "evil:" not in {line.strip().split(" ")[0] for line in text.splitlines()}
    assert sorted(path.name for path in tmp_path.iterdir() if path.name == "a" or "x" in path.name) == ["a"]
    for name, _ in written(out):
        assert all(char.isalnum() or char in "-_./" for char in name)
        assert ".." not in name
    assert cli("validate", out / "mine.yaml").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("adopt", "10.0.0.1", *PASSWORD, "--output", "x"),
        ("adopt", "a@b:0", *PASSWORD, "--output", "x"),
        ("adopt", "a@b", "a@B", *PASSWORD, "--output", "x"),
        ("adopt", "a@b", "--output", "x"),
        ("adopt", "a@b", *PASSWORD, "--agent", "--output", "x"),
        ("adopt", "a@b", *PASSWORD, "--key-passphrase-env", "X", "--output", "x"),
        ("adopt", "a@b", "--password-env", "no name", "--output", "x"),
        ("adopt", "a@b", *PASSWORD, "--host-key", "MD5:1", "--output", "x"),
        ("adopt", "a@b", *PASSWORD, "--fleet", "../x", "--output", "x"),
        ("adopt", "a@b", *PASSWORD),
        ("adopt", *PASSWORD, "--output", "x"),
    ],
)
def test_wrong_usage(cli: Cli, words: tuple[str, ...]) -> None:
    """Each is told as wrong usage before anything is connected to."""
    assert cli(*words).code == 2


def test_other_ways_to_log_in(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """A password from a file is written as a reference to that file; a key that is none says so."""
    made = bench("single.yaml", "wanted")
    (tmp_path / "word").write_text("lab\n")
    by_file = ("--password-file", tmp_path / "word", "--legacy")
    assert cli("adopt", *targets(made), *by_file, *known(made), "--output", tmp_path / "one").code == 0
    text = (tmp_path / "one" / "one.yaml").read_text()
    assert f'password: {{file: "{tmp_path}/word"}}' in text or f"password: {{file: {tmp_path}/word}}" in text
    assert "legacy: true" in text
    (tmp_path / "id").write_text("no key")
    by_key = ("--key", tmp_path / "id", "--key-passphrase-env", "CMS_PASSWORD")
    ran = cli("adopt", *targets(made), *by_key, *known(made), "--output", tmp_path / "two")
    assert (ran.code, "the login key cannot be read" in ran.err) == (4, True)
    assert cli("adopt", *targets(made), "--password-env", "NOT_SET_HERE", "--output", tmp_path / "two").code == 3


def test_something_else_at_the_port(cli: Cli, tmp_path: Path, bench: MakeBench) -> None:
    """A port that speaks no SSH is told, with what to check."""
    made = bench("single.yaml", "wanted")
    port = made.node("cms").port("webadmin")
    ran = cli("adopt", f"admin@127.0.0.1:{port}", *PASSWORD, "--output", tmp_path / "x")

    assert ran.code == 4
    assert f"127.0.0.1:{port}" in ran.err


def test_a_folder_that_cannot_be_made(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """Where the folder cannot be written, that is told, and nothing stays behind."""
    made = bench("single.yaml", "wanted")
    (tmp_path / "file").write_text("x")
    ran = cli("adopt", *targets(made), *PASSWORD, *known(made), "--output", tmp_path / "file" / "mine")

    assert ran.code == 3, ran
    assert "cannot be written: not a directory" in ran.err
    assert "name another folder" in ran.err


def test_an_adopted_fleet_can_be_rehearsed(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """The lab simulates an adopted fleet too, and leaves its real certificates alone."""
    ca = ThrowAwayCa.root("Real root")
    issued = ca.issue("cms.example.com", sans=("cms.example.com",))

    def change(specs: dict[str, NodeSpec]) -> None:
        specs["cms"].files |= {"r.crt": issued.certificate_pem, "r.key": issued.key_pem, "ca.crt": ca.bundle_pem}
        slot = specs["cms"].services["webadmin"].slots["webadmin"]
        slot.certificate, slot.key, slot.bundle = "r.crt", "r.key", "ca.crt"

    made = bench("single.yaml", "wanted", change=change)
    out = tmp_path / "mine"
    assert cli("adopt", *targets(made), *PASSWORD, *known(made), "--output", out).code == 0
    before = dict(written(out))
    assert cli("lab", "pki", out / "mine.yaml").code == 3
    assert dict(written(out)) == before
    rehearsed = bench(out / "mine.yaml", "wanted")

    assert cli("plan", rehearsed.inventory, "--detailed-exitcode").code == 0


def test_a_key_comes_back_under_another_slot(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """Somebody binds another certificate by hand: the plan binds the adopted one again, with the key that is there."""
    made = bench("cluster.yaml", "wanted")
    out = tmp_path / "mine"
    assert cli("adopt", *targets(made), *PASSWORD, *known(made), "--output", out).code == 0
    edge = made.node("edge1")
    own = edge.spec.services["webadmin"].slots["webadmin"]
    for line in ("turn disable", f"turn certs {own.key} {own.certificate} {own.bundle}", "turn enable"):
        made.typed("edge1", line)
    made.settled()
    ran = cli("apply", out / "mine.yaml", "--yes")

    assert ran.code == 0, ran
    assert cli("plan", out / "mine.yaml", "--detailed-exitcode").code == 0


def test_a_node_whose_log_cannot_be_read(bench: MakeBench, cli: Cli, tmp_path: Path) -> None:
    """Then the names come from the certificates; another user than the others has a login of its own."""
    made = bench("cluster.yaml", "wanted", change=lambda specs: setattr(specs["core2"], "user", "other"))
    for node in made.fleet.nodes.values():
        node.faults.fail["get log"] = "no"
    named = [each.replace("admin@", "other@") if at == 1 else each for at, each in enumerate(targets(made))]
    out = tmp_path / "mine"
    ran = cli("adopt", *named, *PASSWORD, *known(made), "--output", out, "--yes")
    text = (out / "mine.yaml").read_text()

    assert ran.code == 0, ran
    assert "  core2:" in text
    assert "user: other" in text
    assert cli("plan", out / "mine.yaml", "--detailed-exitcode").code == 0


@pytest.mark.parametrize("away", [False, True])
def test_as_a_document(bench: MakeBench, cli: Cli, tmp_path: Path, *, away: bool) -> None:
    """The result is one document on stdout, also where nothing could be read; what was found goes to stderr."""
    made = bench("single.yaml", "aged")
    named = ["admin@127.0.0.1:1"] if away else targets(made)
    out = tmp_path / "mine"
    ran = cli("adopt", *named, *PASSWORD, *known(made), "--output", out, "--format", "json")
    document = ran.document("adopt")

    assert ran.code == (4 if away else 0)
    assert document["inventory"] == (None if away else str(out / "mine.yaml"))
    assert [one["server"] for one in document["servers"]] == ([] if away else ["cms"])
    assert {one["reason"] for one in document["drift"]} == (set() if away else {"expires-soon"})
    assert [one["server"] for one in document["unread"]] == (["127.0.0.1:1"] if away else [])
    assert ("Fleet mine" in ran.err) != away
