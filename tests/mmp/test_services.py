"""The service table: what each release has, and that its rows fit together."""

from __future__ import annotations

import itertools

import pytest

from cmscert.mmp.grammar import command
from cmscert.mmp.services import SERVICES
from cmscert.model.commands import Effect
from cmscert.model.names import Release, service_of
from cmscert.model.services import IdentitySlot, Service, Slot, TrustSlot, rows_for

RELEASES = [
    Release(2, 1),
    Release(2, 8),
    Release(2, 9),
    *(Release(3, minor) for minor in range(14)),
    Release(4, 0),
]
OLD = {
    "webadmin",
    "callbridge",
    "webbridge",
    "xmpp",
    "turn",
    "loadbalancer",
    "trunk",
    "recorder",
    "streamer",
    "h323_gateway",
}
THREE = {"webadmin", "callbridge", "webbridge3", "turn", "recorder", "streamer", "tls"}


def _slots(release: Release) -> dict[str, Slot]:
    return {slot.name: slot for row in rows_for(SERVICES, release).values() for slot in row.slots}


@pytest.mark.parametrize(
    ("release", "services"),
    [
        (Release(2, 1), OLD),
        (Release(2, 8), OLD | {"tls"}),
        (Release(2, 9), OLD | {"tls", "webbridge3"}),
        (Release(3, 0), THREE),
        (Release(3, 2), THREE | {"uploader"}),
        (Release(3, 3), THREE | {"uploader", "scheduler"}),
        (Release(3, 5), THREE | {"uploader", "scheduler", "meetingapps"}),
        (Release(3, 12), THREE | {"uploader", "scheduler", "meetingapps"}),
    ],
    ids=lambda value: str(value) if isinstance(value, Release) else "",
)
def test_a_release_has_the_services_of_its_time(release: Release, services: set[str]) -> None:
    """Facts section 7: what came with which release, and what went with 3.0."""
    assert set(rows_for(SERVICES, release)) == services


def test_rows_of_a_service_do_not_overlap() -> None:
    """No release has two rows of one service."""
    for release in RELEASES:
        names = [row.name for row in SERVICES if row.in_release(release)]
        assert sorted(set(names)) == sorted(names)


def test_rows_of_a_service_leave_no_gap() -> None:
    """Where a service has several rows, each begins where the one before it ends."""
    for _, rows in itertools.groupby(SERVICES, key=lambda row: row.name):
        for earlier, later in itertools.pairwise(rows):
            assert earlier.until == later.since


@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_slots_belong_to_their_service_and_are_unique(release: Release) -> None:
    """A slot's name begins with its service, and names one slot only."""
    names = [(row.name, slot.name) for row in rows_for(SERVICES, release).values() for slot in row.slots]

    assert [service_of(slot) for _, slot in names] == [service for service, _ in names]
    assert len({slot for _, slot in names}) == len(names)


@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_trust_accepts_identities_of_the_same_release(release: Release) -> None:
    """Whoever must pass a trust is an identity slot that a node of the same release can have."""
    slots = _slots(release)
    for slot in slots.values():
        for accepted in slot.accepts:
            if not (accepted == "webbridge3/c2w" and release < Release(2, 9)):
                assert isinstance(slots[accepted], IdentitySlot), (release, slot.name)


@pytest.mark.parametrize(
    ("release", "slot", "accepts", "pin"),
    [
        (Release(3, 9), "callbridge/trust-c2w", ("webbridge3/c2w",), "any"),
        (Release(2, 9), "webbridge3/trust-c2w", ("callbridge",), "any"),
        (Release(3, 9), "webbridge3/trust-c2w", ("callbridge", "scheduler/c2w"), "any"),
        (Release(3, 9), "scheduler/trust-c2w", ("webbridge3/c2w",), "any"),
        (Release(3, 9), "callbridge/trust-cluster", ("callbridge",), "leaf"),
        (Release(2, 9), "webbridge/trust", ("callbridge",), "leaf"),
        (Release(2, 9), "recorder/trust", ("callbridge",), "leaf"),
        (Release(2, 9), "streamer/trust", ("callbridge",), "leaf"),
        (Release(2, 9), "xmpp/trust-cluster", ("xmpp",), "leaf"),
        (Release(2, 9), "h323_gateway", ("callbridge",), "leaf"),
        (Release(2, 9), "loadbalancer", ("callbridge",), "leaf"),
        (Release(3, 9), "uploader/trust-cms", ("webadmin",), "any"),
        (Release(3, 9), "tls/trust-sip", ("recorder", "streamer"), "any"),
        (Release(2, 9), "tls/trust-sip", (), "any"),
    ],
)
def test_trust_knows_whom_it_must_accept(release: Release, slot: str, accepts: tuple[str, ...], pin: str) -> None:
    """Facts section 6, trust semantics: which trust pins leaves, and whose."""
    found = _slots(release)[slot]

    assert (found.accepts, found.pin) == (accepts, pin)


def test_every_inferred_pin_says_so() -> None:
    """Only what section 6 names with a source counts as sourced."""
    sourced = {
        slot.name
        for row in SERVICES
        for slot in row.slots
        if slot.pin_grade == "sourced" and (isinstance(slot, TrustSlot) or slot.third == "trust")
    }

    assert sourced == {
        "callbridge/trust-c2w",
        "callbridge/trust-ucm",
        "callbridge/trust-imps",
        "webbridge/trust",
        "webbridge3/trust-c2w",
        "xmpp/trust-cluster",
        "recorder/trust",
        "streamer/trust",
        "uploader/trust-cms",
        "scheduler/trust-c2w",
        "h323_gateway",
    }


def test_every_eku_is_inferred() -> None:
    """No source tells what a single slot needs at least (facts section 6)."""
    identities = [slot for row in SERVICES for slot in row.slots if isinstance(slot, IdentitySlot)]

    assert {slot.eku_grade for slot in identities} == {"inferred"}
    assert {"serverAuth"} <= set.intersection(*(set(slot.eku) for slot in identities))


def test_interchangeable_services_are_changed_one_at_a_time() -> None:
    """Nodes that stand in for each other; ``tls`` is among them because it restarts call bridges."""
    assert {row.name for row in SERVICES if row.interchangeable} == {
        "callbridge",
        "webbridge",
        "webbridge3",
        "turn",
        "xmpp",
        "scheduler",
        "tls",
    }


def test_full_chain_slots_take_no_third_file() -> None:
    """Where the certificate file is always the full chain there is no bundle beside it."""
    for row in SERVICES:
        for slot in row.slots:
            if isinstance(slot, IdentitySlot) and slot.full_chain:
                assert slot.third is None, slot.name


@pytest.mark.parametrize("row", SERVICES, ids=lambda row: f"{row.name}-{row.since}")
def test_a_row_can_be_typed_and_says_what_users_notice(row: Service) -> None:
    """The words of a row are plain, and its impact is told in words and seconds."""
    for words in (row.status, *row.more_status, *(slot.bind for slot in row.slots)):
        plain = tuple(word for word in words if word != "{tag}")
        assert command(*plain, effect=Effect.READ).typed == " ".join(plain)
    assert row.notices
    assert row.seconds > 0
