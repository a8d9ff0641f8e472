"""Status screens: every folder below ``screens/<service>/`` is a case; a new one needs no Python.

``case.txt``: source, release, and the tag that is asked for; ``screen.txt`` (and ``screen-2.txt``): the answers;
``expected.json``: what a person reads in them.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmscert.mmp.screens import read_screen
from cmscert.mmp.services import SERVICES
from cmscert.model.names import Release
from cmscert.model.observed import Binding, ServiceState
from cmscert.model.readings import Known, Unread
from cmscert.model.services import Service, rows_for

FOLDER = Path(__file__).parent / "screens"
CASES = sorted(FOLDER.glob("*/*/expected.json"))
ROWS = tuple(SERVICES)


def _note(folder: Path) -> dict[str, str]:
    lines = (folder / "case.txt").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _row(service: str, release: str) -> Service:
    parsed = Release.parse(release)
    assert parsed is not None
    return rows_for(SERVICES, parsed)[service]


def _texts(folder: Path) -> list[str]:
    # ``screen.txt`` sorts behind ``screen-2.txt``
    return [file.read_text() for file in sorted(folder.glob("screen*.txt"), key=lambda file: len(file.name))]


def _plain(state: ServiceState) -> dict[str, Any]:
    bindings = {}
    for slot, binding in state.bindings.items():
        bindings[slot] = {name: value for name, value in asdict(binding).items() if value is not None}
        assert bindings[slot].pop("slot") == slot
    listens = {slot: [[one.interface, one.port] for one in ports] for slot, ports in state.listens.items()}
    return {
        "reading": "known",
        "enabled": state.enabled,
        "bindings": bindings,
        "listens": listens,
        "untold": list(state.untold),
    }


@pytest.mark.parametrize("expected", CASES, ids=lambda file: f"{file.parent.parent.name}-{file.parent.name}")
def test_screen_is_read_as_a_person_reads_it(expected: Path) -> None:
    """A screen tells the bindings, the ports and whether it is enabled, and nothing that is not on it."""
    folder = expected.parent
    note = _note(folder)

    reading = read_screen(_row(folder.parent.name, note["release"]), *_texts(folder), tag=note.get("tag"))

    found = _plain(reading.value) if isinstance(reading, Known) else {"reading": reading.kind}
    assert json.loads(expected.read_text()) == found


def test_every_case_says_where_it_comes_from() -> None:
    """Each case names its source, so that sourced and made-up layouts are never mixed up."""
    assert CASES
    assert [str(file.parent) for file in CASES if not _note(file.parent).get("source")] == []


def test_every_service_has_a_case() -> None:
    """There is no service in the table whose screen was never tried."""
    assert {row.name for row in SERVICES} == {file.parent.parent.name for file in CASES}


def test_nothing_of_the_turn_password_leaves_the_parser() -> None:
    """The turn screen shows a password; neither a reading nor its reason repeats it."""
    cases = [file.parent for file in CASES if file.parent.parent.name == "turn"]
    assert cases
    for folder in cases:
        assert any("not-for-your-eyes" in text for text in _texts(folder))
        assert "not-for-your-eyes" not in repr(read_screen(_row("turn", "3.9"), *_texts(folder)))


def test_a_password_in_a_file_row_is_not_repeated_either() -> None:
    """A value that is no file name makes the screen unread, and the reason does not show it."""
    reading = read_screen(_row("turn", "3.9"), "TLS key : hun\x07ter2\nTLS cert : a.crt\n")

    assert isinstance(reading, Unread)
    assert "ter2" not in reading.why


def test_an_endless_file_name_is_not_believed() -> None:
    """A name longer than any file system takes makes the screen unread."""
    assert isinstance(read_screen(_row("turn", "3.9"), f"TLS key : {'k' * 300}\n"), Unread)


def test_no_answer_at_all_is_unread() -> None:
    """Without a single text nothing is known, and nothing is absent either."""
    assert isinstance(read_screen(_row("turn", "3.9")), Unread)


def test_enabled_told_twice_differently_is_unread() -> None:
    """Rows that contradict each other make the screen unread; equal ones, and words nobody knows, do not."""
    row = _row("webadmin", "3.9")

    assert isinstance(read_screen(row, "Enabled : true\nEnabled : false\n"), Unread)
    assert Known(ServiceState(service="webadmin", enabled=True, untold=("webadmin",))) == read_screen(
        row, "Enabled : true\nEnabled : true\nEnabled : perhaps\n"
    )


def test_a_port_without_digits_is_no_port() -> None:
    """A port that is no number between 1 and 65535 is left out."""
    row = _row("webadmin", "3.9")
    for port in ("0", "65536", "99999999999999999999", "\u0663", "x", ""):
        reading = read_screen(row, f"TLS listening interface : a\nTLS listening port : {port}\n")
        assert isinstance(reading, Known)
        assert reading.value.listens == {}


@settings(deadline=None)
@given(st.sampled_from(ROWS), st.lists(st.text(), max_size=3), st.none() | st.text())
def test_any_text_is_read_without_an_exception(row: Service, texts: list[str], tag: str | None) -> None:
    """Whatever a server answers, reading it gives a reading."""
    assert read_screen(row, *texts, tag=tag).kind in {"known", "absent", "unread"}


_PIECES = st.sampled_from(
    [
        "Key file",
        "Certificate file",
        "C2W",
        "HTTPS",
        "TLS",
        "SIP",
        "Trust bundle",
        "trusted certs",
        "Enabled",
        "port",
        "Listen interface",
        "auth",
        "Tag",
        "edge",
        ":",
        " : ",
        "  ",
        "\n",
        " ",
        "none",
        "a.key",
        "b.crt",
        "a:443",
        "tls",
        "tcp",
        "443",
        '"',
        ";",
        "\x1b[2J",
        "> ",
    ]
)


@settings(deadline=None)
@given(st.sampled_from(ROWS), st.lists(_PIECES, max_size=40).map("".join))
def test_what_looks_like_a_screen_gives_names_that_can_be_typed(row: Service, text: str) -> None:
    """Every name that a screen gives can be typed again, because the way back is to bind it again."""
    reading = read_screen(row, text)
    if isinstance(reading, Known):
        for binding in reading.value.bindings.values():
            assert isinstance(binding, Binding)
            for name in binding.files:
                assert name.isascii()
                assert name.isprintable()
                assert not set('"\\`$!?') & set(name)


@pytest.mark.parametrize(
    "text",
    [
        "Key file : " + "a" * 1_000_000,
        "Key file : a.key " * 50_000,
        " " * 1_000_000 + ":",
        ":" * 1_000_000,
        "trust ca " * 100_000,
        "\n" * 1_000_000,
        "TLS listening interface : " + "a:1 " * 200_000,
        "edge\n" * 200_000,
    ],
    ids=["long-name", "joined", "blanks", "colons", "labels", "lines", "interfaces", "headings"],
)
def test_a_megabyte_costs_less_than_a_second(text: str) -> None:
    """A screen of 1 MB is not read at all; as much as is read takes a part of a second, whatever it repeats."""
    for service, release in (("webadmin", "3.9"), ("uploader", "3.9"), ("loadbalancer", "2.9")):
        for shown in (text, text[:65_536]):
            begun = process_time()
            read_screen(_row(service, release), shown)
            assert process_time() - begun < 1


def test_a_screen_that_is_too_long() -> None:
    """More text or more rows than any screen has are not believed, even with good rows in them."""
    rows = "Enabled : true\nKey file : a.key\nCertificate file : a.crt\n"
    for filling in ("x" * 65_536, "\n" * 5_001):
        assert isinstance(read_screen(_row("webadmin", "3.9"), rows + filling), Unread)
