"""How far this tool reaches on a server: certificates of services and databases, never accounts, SSH or network."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import cmscert
from cmscert.mmp import commands, csr, database, grammar
from cmscert.mmp.csr import Request
from cmscert.mmp.lines import lines
from cmscert.mmp.services import SERVICES
from cmscert.model.commands import Command, Effect
from cmscert.model.database import DatabaseFiles
from cmscert.model.observed import Binding
from cmscert.model.plan import (
    Action,
    BackupDatabase,
    CheckFiles,
    ClearDatabaseError,
    ConfigureDatabase,
    ConfirmPrimary,
    ConnectCluster,
    CopyFile,
    InitializeCluster,
    JoinCluster,
    LeaveCluster,
    MintDatabase,
    ProveCluster,
    PutFile,
    Rebind,
    RemoveFiles,
    Restart,
    RestoreFile,
    SaveFile,
    UpgradeSchema,
)
from cmscert.model.services import IdentitySlot, Service, Slot

SOURCE = Path(cmscert.__file__).parent
LOCKS_OUT = frozenset(
    {
        *("user", "passwd", "ssh", "login", "session", "audit"),  # accounts: facts 1.1, 1.8, 1.9
        *("ipv4", "ipv6", "iface", "hostname", "dns", "firewall", "route", "dscp", "pcap"),  # network: facts 1.2, 1.10
        *("reboot", "shutdown", "factory_reset", "upgrade", "boot", "license", "rollback"),  # the whole server: facts 2
        *("ntp", "timezone", "date", "syslog", "snmp", "cdr"),
        *("pkcs12-to-ssh", "remove-key", "unlock", "min-tls-version", "ciphers", "server_key"),  # facts 1.9, 3, 4.11
        *(
            "listen",
            "credentials",
            "http-redirect",
            "port",
            "host",
            "domain",
            "add",
            "del",
            "prefer",
            "password",
            "api",
        ),
    }
)
"""Words that change who comes in and how, wherever they stand in a line that changes something."""

FIRST = frozenset({"pki", "database", "backup"} | {row.name for row in SERVICES})
AFTER = {
    "pki": {"csr", "selfsigned", "sign"},
    "database": {"cluster"},
    "backup": {"snapshot"},
}
PAIR = ("a.key", "a.crt", "ca.crt")


def files_of(slot: Slot) -> Iterator[Binding]:
    """Bind everything that a slot takes, and nothing."""
    if not isinstance(slot, IdentitySlot):
        yield from (Binding(slot=slot.name, bundle="ca.crt"), Binding(slot=slot.name))
        return
    tag = "tag1" if slot.tagged else None
    for third in (None, "ca.crt") if slot.third is not None else (None,):
        yield Binding(slot=slot.name, key="a.key", certificate="a.crt", bundle=third, tag=tag)
    yield Binding(slot=slot.name, tag=tag)


RESTORE = RestoreFile(file="a.crt", saved_as="b.crt")


def on_service(row: Service) -> Iterator[Action]:
    """Do everything to a service that a plan or a way back can hold."""
    for slot in row.slots:
        for binding in files_of(slot):
            for stopped in (False, True):
                yield Rebind(service=row.name, bindings=(binding,), stopped=stopped, restores=(RESTORE,))
    for tags in ((), ("tag1",)):
        yield Restart(service=row.name, tags=tags, restores=(RESTORE,))


WHOLE = DatabaseFiles(
    server_key="s.key", server_certificate="s.crt", client_key="c.key", client_certificate="c.crt", ca="ca.crt"
)
CLIENT = DatabaseFiles(client_key="c.key", client_certificate="c.crt", ca="ca.crt")
ELSEWHERE: tuple[Action, ...] = (
    PutFile(file="a.crt", content="sha256:0", role="certificate"),
    SaveFile(file="a.crt", saved_as="b.crt"),
    RESTORE,
    CheckFiles(key="a.key", certificate="a.crt", bundle="ca.crt"),
    RemoveFiles(files=("a.crt", "a.key")),
    MintDatabase(
        ca="dbca",
        ca_common_name="example.com",
        server="dbserver",
        server_common_name="core1.example.com",
        server_sans=("core2.example.com",),
        client="dbclient",
        client_common_name="postgres",
    ),
    CopyFile(file="a.crt", source="core1"),
    BackupDatabase(name="before"),
    ConfirmPrimary(database="main", server="core1"),
    LeaveCluster(),
    ConfigureDatabase(files=WHOLE, interface="a"),
    ConfigureDatabase(files=CLIENT, interface="a"),
    InitializeCluster(),
    JoinCluster(primary="10.0.0.11"),
    ConnectCluster(primary="10.0.0.11"),
    ClearDatabaseError(),
    UpgradeSchema(),
    ProveCluster(database="main", members=("10.0.0.11",)),
)


def every_command() -> Iterator[Command]:
    """Return every command of every release that this tool can send."""
    for row in SERVICES:
        yield from commands.statuses(row)
        for action in on_service(row):
            yield from (line.command for line in lines(action, row) if line.command is not None)
    for action in ELSEWHERE:
        yield from (line.command for line in lines(action, None) if line.command is not None)
    yield from (commands.VERSION, commands.DATE, commands.USER_LIST, commands.PKI_LIST, database.DATABASE_STATUS)
    yield csr.csr_command(Request(basename="a", common_name="a.example.com", sans=("a.example.com",), country="DE"))


COMMANDS = tuple(dict.fromkeys(every_command()))


def test_all_kinds_of_actions_are_looked_at() -> None:
    """A new kind of action has to be held against this list as well."""
    from typing import get_args

    from cmscert.model.plan import Gate

    looked_at = {type(action) for action in (*ELSEWHERE, *on_service(SERVICES[0]))}
    assert looked_at | {Gate} == set(get_args(Action))


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.effect is Effect.CHANGE], ids=str)
def test_no_command_reaches_who_comes_in_and_how(command: Command) -> None:
    """What changes something begins with a service, the database, pki or backup, and holds no word that locks out."""
    words = shlex.split(command.typed)
    assert words[0] in FIRST
    assert words[1] in AFTER.get(words[0], {words[1]})
    assert not LOCKS_OUT.intersection(words), command


def test_reading_asks_for_lists_and_screens_only() -> None:
    """Apart from status screens these are all the questions; none of them has a form that changes something."""
    screens = {command.typed for row in SERVICES for command in commands.statuses(row)}
    others = {command.typed for command in COMMANDS if command.effect is Effect.READ} - screens
    assert {" ".join(line.split()[:2]) for line in others} == {
        *("version", "date", "user list", "pki list", "pki match", "pki verify", "database cluster"),
    }
    assert all(screen.split()[-1] in {*FIRST, "list", "status", "sip", "ldap"} for screen in screens)


def product() -> Iterator[tuple[str, ast.Module]]:
    """Parse all modules that can come near a real server."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if not name.startswith(("lab/", "testing/")):
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.Module, name: str) -> list[ast.Call]:
    """Find the calls of a function or class, by its name."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and name == getattr(node.func, "id", getattr(node.func, "attr", None))
    ]


def test_commands_are_built_in_one_place() -> None:
    """Only the grammar makes a command, and only the appliance's language calls it: this test sees all there are."""
    assert {name for name, tree in product() if calls(tree, "Command")} == {"mmp/grammar.py"}
    importing = {
        name
        for name, tree in product()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "cmscert.mmp.grammar"
        if any(alias.name == "command" for alias in node.names)
    }
    assert importing <= {f"mmp/{part}.py" for part in ("commands", "csr", "database", "lines")}


def test_words_that_are_typed_stand_in_the_source() -> None:
    """The first word of a command is written in the program or in a row of its table, never taken from a value."""
    found = set()
    for name, tree in product():
        for call in calls(tree, "command") if name.startswith("mmp/") else ():
            first = call.args[0] if call.args else None
            found.add(ast.unparse(first) if first is not None else "")
    literal = {shlex.split(each)[0] for each in found if each.startswith("'")}
    assert literal <= {"pki", "database", "backup", "version", "date", "user"}
    assert found - {repr(each) for each in literal} <= {"*words"}


@given(st.text(max_size=60), st.sampled_from(sorted(LOCKS_OUT)))
def test_no_value_becomes_a_word_of_a_command(value: str, word: str) -> None:
    """Whatever stands in a value, it stays one word behind the ones that say what is done, on one line."""
    row = next(row for row in SERVICES if row.name == "webadmin")
    for text in (value, f"a.key {word}", f"a.key\n{word}", f"a.key; {word}", f'a.key" {word}', f"{word} {value}"):
        try:
            typed = [line.text for line in lines(_webadmin(text), row)]
        except ValueError:
            continue
        assert [line.split()[0] for line in typed] == ["webadmin"] * 3
        assert not re.search(r"[\x00-\x1f\x7f]", "".join(typed))
        assert shlex.split(typed[1]) == ["webadmin", "certs", text, "a.crt"]


def _webadmin(key: str) -> Rebind:
    return Rebind(service="webadmin", bindings=(Binding(slot="webadmin", key=key, certificate="a.crt"),))


WRITING = {
    "put": lambda name: PutFile(file=name, content="sha256:0", role="certificate"),
    "save": lambda name: SaveFile(file="a.crt", saved_as=name),
    "restore": lambda name: RestoreFile(file=name, saved_as="a.crt"),
    "copy": lambda name: CopyFile(file=name, source="core1"),
    "remove": lambda name: RemoveFiles(files=(name,)),
}


@pytest.mark.parametrize("kind", WRITING)
@pytest.mark.parametrize(
    "name",
    ["admin.pub", "cms.lic", "upgrade.img", "live.json", "boot.json", "log", "a.csr", "a.bak", "a.crt.pub", "crt"],
)
def test_no_file_that_lets_somebody_in_is_written(kind: str, name: str) -> None:
    """A public key for SSH, a licence, an image or a configuration is neither put nor removed, under any step."""
    with pytest.raises(ValueError, match="not one of a certificate"):
        lines(WRITING[kind](name), None)


@given(st.text(max_size=40), st.sampled_from(sorted(WRITING)))
def test_only_names_of_certificate_material_are_written(name: str, kind: str) -> None:
    """Whatever a name is, it is refused or ends as a certificate, a key or a bundle does."""
    try:
        typed = lines(WRITING[kind](name), None)
    except ValueError:
        return
    assume(typed)
    assert name.lower().endswith((".crt", ".cer", ".pem", ".der", ".key"))


def test_the_grammar_is_the_one_that_was_looked_at() -> None:
    """The commands above come out of the grammar itself, not of a copy of it."""
    assert grammar.command("pki", "list", effect=Effect.READ) == commands.PKI_LIST
