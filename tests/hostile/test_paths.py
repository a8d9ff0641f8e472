"""Paths: what a checkout or another user may plant decides neither what is read nor where is written."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmscert import files
from cmscert.app.inventory import choose
from cmscert.app.plan import state_dir_of
from cmscert.app.plan_file import load_plan
from cmscert.apply.backups import backup_folder
from cmscert.apply.disk import replacing
from cmscert.apply.journal import Journal
from cmscert.apply.memory import Memory
from cmscert.apply.saved import saved_folder
from cmscert.cli.output import write_file
from cmscert.errors import InputError, JournalError, SecretError
from cmscert.files import Unreadable, planted, read_regular
from cmscert.inventory.load import load, read_outline
from cmscert.inventory.secrets import resolve
from cmscert.model.login import SecretRef
from cmscert.testing.ca import ThrowAwayCa
from cmscert.testing.fleets import MOMENT
from cmscert.transport.known_hosts import load_known_hosts

CA = ThrowAwayCa.root("Paths CA")
LEAF = CA.issue("a.example.com", sans=("a.example.com",))
TEXT = """
version: 1
fleet: paths
ssh: {user: admin, password: {file: PASSWORD}, known_hosts: known_hosts}
bundles: {corp: [ca.crt]}
certificates:
  all: {common_name: a.example.com, chain: corp, files: {certificate: a.crt, key: KEY}}
servers:
  a: {address: 10.0.0.1, fqdn: a.example.com, release: "3.9", services: {webadmin: {certificate: all, bundle: corp}}}
"""


class Place:
    """An inventory in a folder, and a folder outside of it."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "repository" / "inventory"
        self.outside = tmp_path / "outside"
        self.folder.mkdir(parents=True)
        self.outside.mkdir()
        self.inventory = self.folder / "inventory.yaml"
        for name, content in (("ca.crt", CA.certificate_pem), ("a.crt", LEAF.certificate_pem), ("a.key", LEAF.key_pem)):
            (self.folder / name).write_bytes(content)
        (self.folder / "known_hosts").write_text("")
        (self.outside / "secret").write_text("hidden")
        (self.outside / "other.key").write_bytes(LEAF.key_pem)
        self.write()

    def write(self, *, key: str = "a.key", password: str = "password") -> None:  # noqa: S107 - a path
        """Write the inventory."""
        self.inventory.write_text(TEXT.replace("KEY", key).replace("PASSWORD", password))

    def faults(self) -> list[tuple[str, str | None]]:
        """Return what is wrong, by reason and path."""
        try:
            load(self.inventory, now=MOMENT)
        except InputError as error:
            return [(fault.reason, fault.path) for fault in error.faults]
        return []


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An inventory that is sound."""
    made = Place(tmp_path)
    assert made.faults() == []
    return made


def test_a_link_out_of_the_folder_is_not_followed(place: Place) -> None:
    """A relative path whose link leads outside is refused by name: key, password file, known_hosts, store."""
    (place.folder / "linked.key").symlink_to(place.outside / "other.key")
    (place.folder / "linked").symlink_to(place.outside)
    place.write(key="linked.key", password="linked/secret")  # noqa: S106 - a path
    (place.folder / "known_hosts").unlink()
    (place.folder / "known_hosts").symlink_to(place.outside / "secret")
    with place.inventory.open("a") as stream:
        stream.write("store: {path: linked/store, passphrase: {env: X}}\n")

    assert sorted(place.faults(), key=str) == [
        ("symlink-outside", "certificates.all.files.key"),
        ("symlink-outside", "ssh.known_hosts"),
        ("symlink-outside", "ssh.password.file"),
        ("symlink-outside", "store.path"),
    ]


def test_the_work_tree_is_the_border_of_links(place: Place) -> None:
    """Within one git work tree links are followed: what they lead to is reviewed with the inventory."""
    shared = place.folder.parent / "shared"
    shared.mkdir()
    (shared / "x.key").write_bytes(LEAF.key_pem)
    (place.folder / "linked.key").symlink_to("../shared/x.key")
    place.write(key="linked.key")
    assert place.faults() == [("symlink-outside", "certificates.all.files.key")]

    (place.folder.parent / ".git").mkdir()
    assert place.faults() == []
    (place.folder / "linked.key").unlink()
    (place.folder / "linked.key").symlink_to(place.outside / "other.key")
    assert place.faults() == [("symlink-outside", "certificates.all.files.key")]


def test_paths_that_are_written_out_are_followed(place: Place) -> None:
    """An absolute path leads where it says, links in it too (certbot's live/ is made of them); ``..`` shows itself."""
    (place.outside / "live.key").symlink_to("other.key")
    place.write(key=str(place.outside / "live.key"), password="../../outside/secret")  # noqa: S106 - a path
    assert place.faults() == []
    place.write(key="../../outside/other.key")
    assert place.faults() == [("outside-folder", "certificates.all.files.key")]


def test_pipes_and_devices_are_not_waited_for(place: Place) -> None:
    """A pipe, a device or a folder in the place of any file is an error at once, not a program that hangs."""
    pipe = place.folder / "pipe"
    os.mkfifo(pipe)
    place.write(key="pipe")
    assert place.faults() == [("unreadable-file", "certificates.all.files.key")]
    for odd in (pipe, Path("/dev/zero"), place.folder):
        for read in (load_plan, load_known_hosts, read_outline):
            with pytest.raises(InputError):
                read(odd)
        with pytest.raises(SecretError):
            resolve(SecretRef(kind="file", value=(str(odd),)), folder=place.folder)
    (place.folder / "state/databases").mkdir(parents=True)
    os.mkfifo(place.folder / "state/databases/paths-main.json")
    with pytest.raises(InputError, match="not a regular file"):
        Memory(place.folder / "state", "paths").noted(["main"])


def test_a_file_that_changes_while_it_is_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was opened counts, not what its name led to before: a pipe put in its place, and a file that grows."""
    path = place.folder / "a.crt"
    real = os.open

    def swapped(name: Path, flags: int) -> int:
        path.unlink()
        os.mkfifo(path)
        return real(name, flags)

    with monkeypatch.context() as changed:
        changed.setattr(files.os, "open", swapped)
        with pytest.raises(Unreadable, match="not a regular file"):
            read_regular(path, limit=100)
    path.unlink()
    path.write_bytes(b"x" * 100)

    class Small:
        st_mode = path.stat().st_mode
        st_size = 1

    monkeypatch.setattr(files.os, "fstat", lambda _: Small)
    with pytest.raises(Unreadable, match="larger than"):
        read_regular(path, limit=10)


@pytest.mark.parametrize("kind", ["link", "file", "open to all", "another's", "link in it", "link below", "unreadable"])
def test_a_state_folder_that_is_not_ours(place: Place, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default state folder is refused where a checkout or another user may have made it; a named one is not."""
    state = place.folder / ".cmscert"
    chosen = choose(place.inventory, now=MOMENT)
    assert state_dir_of(chosen, None) == state
    (state / "runs" / "one").mkdir(parents=True, mode=0o700)
    assert state_dir_of(chosen, None) == state
    match kind:
        case "link":
            shutil.rmtree(state)
            state.symlink_to(place.outside)
        case "file":
            shutil.rmtree(state)
            state.write_text("")
        case "open to all":
            state.chmod(0o777)
        case "another's":
            monkeypatch.setattr(files.os, "geteuid", lambda: 4711)
        case "link in it":
            (state / "locks").symlink_to(place.outside)
        case "link below":
            (state / "runs" / "two").symlink_to(place.outside)
        case "unreadable":

            def refused(_: object) -> None:
                raise PermissionError(13, "Permission denied")

            monkeypatch.setattr("cmscert.app.plan.planted", refused)
    with pytest.raises(InputError) as caught:
        state_dir_of(chosen, None)

    assert [fault.reason for fault in caught.value.faults] == ["state-dir"]
    assert "--state-dir" in str(caught.value.hint)
    assert state_dir_of(chosen, place.outside) == place.outside


def test_a_missing_folder_is_not_planted(tmp_path: Path) -> None:
    """Where nothing stands, nothing was planted."""
    assert planted(tmp_path / "none") is None


def test_results_never_go_through_a_planted_link(tmp_path: Path) -> None:
    """--output and --save replace a link, leave what it led to alone, and draft under names that none can guess."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "result").symlink_to(victim)
    (tmp_path / f".result.{os.getpid()}").symlink_to(victim)
    write_file(tmp_path / "result", "new")

    assert victim.read_text() == "mine"
    assert (tmp_path / "result").read_text() == "new"
    assert not (tmp_path / "result").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f".result.{os.getpid()}", "result", "victim"]


def test_results_do_not_replace_devices(tmp_path: Path) -> None:
    """A device or a pipe is not replaced by a file, which an administrator's rights would allow."""
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(InputError, match="not a regular file"):
            write_file(odd, "x")
    assert not Path("/dev/null").is_file()


def test_a_draft_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a name be guessed after all, nothing is written through it, and what fails leaves no draft."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    monkeypatch.setattr(files.os, "urandom", lambda count: b"\0" * count)
    draft = tmp_path / f".result.{'00' * 8}"
    draft.symlink_to(victim)
    with pytest.raises(InputError, match="file exists"):
        write_file(tmp_path / "result", "new")

    assert victim.read_text() == "mine"
    with pytest.raises(InputError, match="no such file"):
        write_file(tmp_path / "none" / "result", "new")


def test_private_files_never_go_through_a_planted_link(tmp_path: Path) -> None:
    """Backups, notes and journals do not either."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    for name in (f".note.{os.getpid()}.part", "note"):
        (tmp_path / name).symlink_to(victim)
    with replacing(tmp_path / "note") as stream:
        stream.write(b"new")
    (tmp_path / "state/runs").mkdir(parents=True)
    (tmp_path / "state/runs/20261123T000000Z-abcdef").symlink_to(tmp_path)
    with pytest.raises(JournalError):
        Journal.create(tmp_path / "state", "20261123T000000Z-abcdef", {}, {})

    assert victim.read_text() == "mine"
    assert (tmp_path / "note").read_bytes() == b"new"


HOSTILE_NAMES = ("../x", "..", ".", "", "a/b", "/etc/passwd", "\0", "a\nb", "x" * 300)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("as_server", [True, False])
def test_names_of_servers_and_files_stay_names(tmp_path: Path, name: str, *, as_server: bool) -> None:
    """A name with a path in it is refused where it would become a path; nothing appears outside of the run."""
    run = tmp_path / "state" / "runs" / "one"
    server, file = (name, "a.crt") if as_server else ("core1", name)

    def back_up() -> None:
        with backup_folder(run)(server, file) as take:
            take(b"x")

    for write in (back_up, lambda: saved_folder(run)(server, file, LEAF.certificate_pem)):
        with contextlib.suppress(JournalError, ValueError):
            write()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert all(path.is_relative_to(run) and len(path.relative_to(run).parts) == 3 for path in written)
    assert name == "a\nb" or not written


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "/x", "a b", "-x", "a\nb", "", "\u202ea", "x" * 100])
@pytest.mark.parametrize("old", ["fleet: paths", "  a: {address", "  all: {common", "{corp: ["])
def test_names_of_an_inventory_hold_no_path(place: Place, name: str, old: str) -> None:
    """Fleet, server, certificate, bundle and database names become parts of paths: they are letters, digits, marks."""
    word = next(each for each in ("paths", "all", "corp", "a") if each in old)
    quoted = '"' + name.replace("\n", "\\n") + '"'
    place.inventory.write_text(place.inventory.read_text().replace(old, old.replace(word, quoted, 1), 1))

    reasons = {reason for reason, _ in place.faults()}
    assert reasons & {"invalid-value"}, reasons


def test_a_database_name_holds_no_path(place: Place) -> None:
    """The note about a rebuild is a file named after fleet and database."""
    with place.inventory.open("a") as stream:
        stream.write('databases: {"../../x": {nodes: [a], server: all, client: all, ca: corp}}\n')

    assert any(path and path.startswith("databases") for _, path in place.faults())


@pytest.mark.parametrize("word", ["validate", "plan", "apply"])
def test_a_program_over_planted_things_says_so(
    place: Place, word: str, program: Callable[..., Any], tmp_path: Path
) -> None:
    """The commands themselves end with 3 and one sentence, and write nothing anywhere."""
    os.mkfifo(place.folder / "pipe")
    place.write(key="pipe")
    (place.folder / ".cmscert").symlink_to(place.outside)
    before = sorted(path for path in tmp_path.rglob("*"))
    with program(word, place.inventory) as process:
        out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (3, "")
    assert "is not a regular file" in err
    assert sorted(path for path in tmp_path.rglob("*")) == before
