"""The state before a run: what was read, without secrets, and back again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cmscert.apply.before import LARGEST, ServerBefore, observed_document, read_observed
from cmscert.errors import InputError
from cmscert.model.database import DatabaseMember, DatabaseState
from cmscert.model.names import Release
from cmscert.model.observed import Binding, ObservedServer, ServiceState, StoredFile
from cmscert.model.readings import ABSENT, Known, Unread
from cmscert.testing.toy_run import ToyRun


def observed(toy: ToyRun) -> dict[str, ObservedServer]:
    """Return a server of which everything is known, and one of which nothing is."""
    crt = toy.old.certificate
    known = ObservedServer(
        name="core1",
        reached=Known(value=True),
        release=Known(Release(3, 9)),
        files=Known(("a.crt", "a.key")),
        contents={"a.crt": Known(StoredFile(name="a.crt", sha256="ab", certificates=(crt,))), "b.crt": ABSENT},
        screens={
            "webadmin": Known(
                ServiceState(
                    service="webadmin",
                    enabled=True,
                    bindings={"webadmin": Binding(slot="webadmin", key="a.key", certificate="a.crt", tag="t")},
                    untold=("x",),
                )
            ),
            "turn": Unread("garbage"),
            "xmpp": ABSENT,
        },
        served={"webadmin": Known((crt,)), "turn": Known(()), "xmpp": ABSENT},
        database=Known(DatabaseState(status="Enabled", members=(DatabaseMember(address="10.0.0.1", text="Primary"),))),
    )
    return {"core1": known, "edge1": ObservedServer(name="edge1", reached=Unread("no TCP connection"))}


def stored(folder: Path, document: object) -> Path:
    """Put a document where a run has it."""
    (folder / "observed.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def test_what_was_observed_reads_back(toy: ToyRun, tmp_path: Path) -> None:
    """Bindings, files, hashes and served leaves; what was not read is not there."""
    servers = read_observed(stored(tmp_path, observed_document("toy", observed(toy))))
    core = servers["core1"]

    assert core.services["webadmin"].enabled is True
    assert core.services["webadmin"].bindings == {
        "webadmin": Binding(slot="webadmin", key="a.key", certificate="a.crt", tag="t")
    }
    assert core.services["webadmin"].untold == ("x",)
    assert list(core.services) == ["webadmin"]
    assert (core.release, core.files, core.contents) == ("3.9", ("a.crt", "a.key"), {"a.crt": "ab"})
    assert core.served == {"webadmin": toy.old.certificate.sha256}
    assert servers["edge1"] == ServerBefore(name="edge1")


def test_people_find_facts_of_certificates(toy: ToyRun) -> None:
    """Subject, serial and expiry stand beside the hash, why a server was not read, and the database's members."""
    servers: Any = observed_document("toy", observed(toy))["servers"]
    core = servers["core1"]

    assert core["contents"]["a.crt"]["certificates"][0]["subject"] == toy.old.certificate.subject
    assert core["unread_services"] == {"turn": "garbage"}
    assert core["database"]["members"] == [{"address": "10.0.0.1", "me": False, "text": "Primary"}]
    assert servers["edge1"]["unread"] == "no TCP connection"
    assert servers["edge1"]["database"] is None


def test_every_observed_server_can_be_written_down(toy: ToyRun, tmp_path: Path) -> None:
    """An unread part of any kind is read back as not there."""
    document = observed_document("toy", observed(toy))
    assert json.loads(json.dumps(document)) == document
    assert set(read_observed(stored(tmp_path, document))) == {"core1", "edge1"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda core: core.pop("files"), "files is missing"),
        (lambda core: core.update(files="x"), "a list is missing"),
        (lambda core: core.update(files=[1]), "a text is missing"),
        (lambda core: core.update(release=3), "a text is missing"),
        (lambda core: core.update(services=[]), "an object is missing"),
        (lambda core: core["services"]["webadmin"].update(enabled="yes"), "neither yes nor no"),
        (lambda core: core["services"]["webadmin"]["bindings"].update(webadmin=None), "an object is missing"),
        (lambda core: core["contents"].update(x={"sha256": None}), "a text is missing"),
        (lambda core: core["served"].update(x=7), "a text is missing"),
    ],
)
def test_damage_is_named(toy: ToyRun, tmp_path: Path, change: Callable[[Any], object], why: str) -> None:
    """What does not fit is an input error with the file's name, never a guess."""
    document: Any = observed_document("toy", observed(toy))
    change(document["servers"]["core1"])
    with pytest.raises(InputError, match=why) as caught:
        read_observed(stored(tmp_path, document))
    assert caught.value.faults[0].file == str(tmp_path / "observed.json")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "it is damaged"),
        (b"[]", "an object is missing"),
        (b'{"format": "cmscert.observed/2"}', "its format is not"),
        (b'{"format": "cmscert.observed/1"}', "servers is missing"),
        (b"[" * 100_000, "it is damaged"),
        (b" " * (LARGEST + 1), "larger than any"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, why: str) -> None:
    """A file that is none of ours is said to be."""
    (tmp_path / "observed.json").write_bytes(content)
    with pytest.raises(InputError, match=why):
        read_observed(tmp_path)


def test_a_run_without_it_says_so(tmp_path: Path) -> None:
    """Runs of earlier versions have none."""
    with pytest.raises(InputError, match="no such file"):
        read_observed(tmp_path)
