"""Reports of shards, put together; and what is refused of files that anybody may have written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cmscert.app import merge as merging
from cmscert.app.drift_file import LARGEST, load_drift, read_drift
from cmscert.app.merge import merge, merge_reports
from cmscert.errors import InputError
from cmscert.model.places import Asked, Place
from cmscert.model.plan import Drift, Notice
from cmscert.model.results import DriftReport
from cmscert.reports.documents import drift_document
from cmscert.reports.plan_document import dump
from cmscert.testing.fleet_reports import MOMENT, SHA

SERVERS = ("core1", "core2", "edge1")
LINES = {"core1": 10, "core2": 20, "edge1": 30}
DATABASE = "database/main"
Change = Callable[[dict[str, Any]], object]


def asked(*servers: str, slots: tuple[str, ...] = ("webadmin", "callbridge")) -> tuple[Asked, ...]:
    """Ask for slots of servers."""
    return tuple(
        Asked(server=name, slot=slot, place=Place(line=LINES[name], column=3, path=f"servers.{name}"))
        for name in servers
        for slot in (None, *slots)
    )


def found(server: str, slot: str | None = "webadmin", reason: str = "leaf-differs", **more: Any) -> Drift:  # noqa: ANN401 - fields of a drift
    """Find something."""
    return Drift(server=server, slot=slot, reason=reason, wanted="new", found="old", **more)


def shard(*servers: str, minutes: float = 0, **more: Any) -> DriftReport:  # noqa: ANN401 - fields of a report
    """Return what a process says that looked at some servers, so many minutes after the first."""
    values: dict[str, Any] = {
        "select": tuple(f"server={name}" for name in servers),
        "asked": asked(*servers),
        "outside": tuple((name, None) for name in SERVERS if name not in servers),
        "file": "fleet.yaml",
        **more,
    }
    return DriftReport(
        made_at=MOMENT + timedelta(minutes=minutes),
        fleet="example",
        inventory_sha256=SHA,
        servers=len(servers),
        slots=2 * len(servers),
        **values,
    )


def files(tmp_path: Path, *reports: DriftReport) -> list[Path]:
    """Write reports as ``drift --format json`` does."""
    paths = [tmp_path / f"{number}.json" for number in range(len(reports))]
    for path, report in zip(paths, reports, strict=True):
        path.write_text(dump(drift_document(report)))
    return paths


def refused(tmp_path: Path, *reports: DriftReport) -> InputError:
    """Return why reports cannot be merged."""
    with pytest.raises(InputError) as caught:
        merge(files(tmp_path, *reports))
    return caught.value


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Whatever is in a report is there again when its document was read."""
    report = shard(
        "core1",
        unread=(("core1", "no TCP connection"),),
        findings=(found("core1"), found("core1", None, "release-differs", ignored="later", ignored_until="2026-12-31")),
        notices=(Notice(message="soon", server="core1", slot="webadmin", reason="stopped"),),
    )

    assert load_drift(files(tmp_path, report)[0]) == report


def test_shards_become_one(tmp_path: Path) -> None:
    """What all found stands in the inventory's order, counted, from the moment of the oldest."""
    everybody = Notice(message="not handled", reason="unhandled")
    made = merge(
        files(
            tmp_path,
            shard("edge1", minutes=2, findings=(found("edge1"),), notices=(everybody,)),
            shard("core2", "core1", findings=(found("core1"), found("core2")), notices=(everybody,), minutes=1),
        )
    ).report

    assert [drift.server for drift in made.findings] == ["core1", "core2", "edge1"]
    assert (made.servers, made.slots, made.made_at) == (3, 6, MOMENT + timedelta(minutes=1))
    assert (made.select, made.outside, made.unread, made.complete) == ((), (), (), True)
    assert made.notices == (everybody,)
    assert [each.server for each in made.asked if each.slot is None] == list(SERVERS)
    assert made.file == "fleet.yaml"


def test_what_no_report_holds_is_unread(tmp_path: Path) -> None:
    """A shard that is missing is named, and the report is incomplete; so is a database that nobody looked at."""
    members = (("core1", DATABASE),)
    left = [shard("core1", outside=(*shard("core1").outside, *members)), shard("edge1")]
    made = merge(files(tmp_path, *left))

    assert made.report.unread == (
        ("core1", "database/main: no report holds it"),
        ("core2", "no report holds it"),
    )
    assert set(made.report.outside) == {("core2", None), *members}
    assert {name: error.message for name, error in made.failures.items()} == {
        "core1": "core1: database/main: no report holds it",
        "core2": "core2: no report holds it",
    }
    assert [(each.server, each.unread is None) for each in made.status.servers] == [
        ("core1", False),
        ("edge1", True),
        ("core2", False),
    ]


def test_a_merged_report_is_merged_again(tmp_path: Path) -> None:
    """What was missing in the first round and is there in the second is missing no more."""
    members = (("core1", DATABASE),)
    first = merge(files(tmp_path, shard("core1", outside=(*shard("core1").outside, *members)), shard("edge1"))).report
    database = replace(
        shard("core2", "core1"),
        asked=(*asked("core1", slots=(DATABASE,)), *asked("core2")),
        outside=(("edge1", None), ("core1", "webadmin")),
    )
    made = merge(files(tmp_path, first, database)).report

    assert first.unread
    assert (made.unread, made.outside) == ((), ())
    assert made.slots == 7


def test_the_newest_speaks_for_a_server(tmp_path: Path) -> None:
    """A job that was repeated replaces what it said before, whatever the order of the files."""
    warned = Notice(message="old", server="core1", reason="stopped")
    old = shard("core1", unread=(("core1", "no"),), findings=(found("core1"),), notices=(warned,))
    new = shard("core1", minutes=5, findings=(found("core1", "callbridge", "expired"),))
    rest = shard("core2", "edge1", minutes=3)

    for order in ((old, new, rest), (new, rest, old)):
        made = merge(files(tmp_path, *order)).report
        assert made.findings == new.findings
        assert (made.unread, made.notices) == ((), ())
        assert made.made_at == rest.made_at


def test_of_two_of_one_moment_the_last_named_speaks() -> None:
    """Two reports of one moment are told apart by their order."""
    one, two = shard(*SERVERS, findings=(found("core1"),)), shard(*SERVERS)

    assert merge_reports([one, two]).findings == ()
    assert merge_reports([two, one]).findings == one.findings


def test_two_that_hold_parts_of_one_server(tmp_path: Path) -> None:
    """Shards by service speak for their own slots; what is said of a service goes by whoever holds that."""
    services = shard(
        *SERVERS,
        select=("server=*",),
        outside=(("core1", DATABASE),),
        unread=(("core1", "webadmin: no answer"),),
        findings=(found("core1"), found("core1", "callbridge/trust-c2w"), found("core1", None, "release-differs")),
    )
    base = replace(
        shard("core1", minutes=1),
        select=("service=database",),
        asked=asked("core1", slots=(DATABASE,)),
        outside=(("core1", "webadmin"), ("core2", None), ("edge1", None)),
        findings=(found("core1", DATABASE), found("core1", None, "release-differs")),
    )
    made = merge(files(tmp_path, services, base)).report

    assert [(drift.slot, drift.reason) for drift in made.findings] == [
        ("webadmin", "leaf-differs"),
        ("callbridge/trust-c2w", "leaf-differs"),
        (None, "release-differs"),
        (DATABASE, "leaf-differs"),
    ]
    assert made.unread == services.unread
    assert (made.outside, made.slots) == ((), 7)


def test_a_lost_shard_whose_servers_another_holds_in_part(tmp_path: Path) -> None:
    """Slots that no report holds are unread, also of a server of which one holds the database."""
    base = shard("core1", asked=asked("core1", slots=(DATABASE,)), select=("service=database",))
    left = (("core1", "webadmin"), ("core1", "callbridge"), *base.outside)
    made = merge(files(tmp_path, replace(base, outside=left), shard("core2", "edge1"))).report

    assert made.unread == (("core1", "webadmin, callbridge: no report holds it"),)


def test_slots_that_all_left_out_were_not_meant(tmp_path: Path) -> None:
    """What every shard was told to leave out by service is no gap; a server that none holds is one."""
    narrow = ("service=webadmin",)
    left = [
        shard(
            name,
            select=narrow,
            asked=asked(name, slots=("webadmin",)),
            outside=((name, "callbridge"), *shard(name).outside),
        )
        for name in SERVERS
    ]

    assert merge(files(tmp_path, *left)).report.unread == ()
    assert merge(files(tmp_path, *left[:2])).report.unread == (("edge1", "no report holds it"),)


def test_selectors_that_all_have_stay(tmp_path: Path) -> None:
    """A selector that narrowed every shard narrows the whole; those that made the shards do not."""
    made = merge(
        files(tmp_path, *(shard(name, select=("service=webadmin", f"server={name}")) for name in SERVERS))
    ).report

    assert made.select == ("service=webadmin",)


def test_what_is_not_issued_counts_for_no_slot(tmp_path: Path) -> None:
    """Slots that wait for their certificate are counted as one process counts them."""
    made = merge(
        files(tmp_path, shard(*SERVERS, findings=(found("edge1"), found("core1", reason="not-issued"))))
    ).report

    assert made.slots == 5
    assert [drift.server for drift in made.findings] == ["core1", "edge1"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("fleet", "other", "fleet: other, where another report says example"),
        ("inventory_sha256", "f" * 64, "inventory_sha256: ffffffffffff, where another report says 0123456789ab"),
    ],
)
def test_reports_of_different_things_are_refused(tmp_path: Path, key: str, value: str, said: str) -> None:
    """A report of another fleet, or made with another inventory, is refused by file and key."""
    error = refused(tmp_path, shard("core1"), replace(shard("edge1"), **{key: value}))

    assert [str(fault) for fault in error.faults] == [f"{tmp_path}/1.json: {said}"]
    assert error.hint is not None


def test_faults_of_every_file_are_told_at_once(tmp_path: Path) -> None:
    """Whoever collects forty files hears of all that is wrong with them in one go."""
    paths = files(tmp_path, shard("core1"), shard("edge1"), replace(shard("core2"), fleet="other"))
    paths[1].write_text("{")
    with pytest.raises(InputError) as caught:
        merge([*paths, tmp_path / "none.json"])

    assert [(fault.file or "").rpartition("/")[2] for fault in caught.value.faults] == [
        "1.json",
        "2.json",
        "none.json",
    ]


SPOILT: dict[str, tuple[Change, str]] = {
    "format": (lambda each: each.update(format="cmscert.drift/2"), "does not know"),
    "other document": (lambda each: each.update(format="cmscert.status/1"), "not a drift report"),
    "no format": (lambda each: each.pop("format"), "not a drift report"),
    "unknown key": (lambda each: each.update(more=1), "extra inputs"),
    "missing key": (lambda each: each.pop("asked"), "field required"),
    "naive moment": (lambda each: each.update(made_at="2026-11-23T20:30:00"), "timezone"),
    "moment of old": (lambda each: each.update(made_at="0001-01-01T00:00:00+14:00"), "no moment"),
    "day": (lambda each: each["findings"][0].update(ignored_until="2026-13-01"), "month must be"),
    "fleet": (lambda each: each.update(fleet="a\x1b[2J"), "pattern"),
    "digest": (lambda each: each.update(inventory_sha256="x"), "pattern"),
    "server": (lambda each: each["findings"][0].update(server="../core1"), "pattern"),
    "reason": (lambda each: each["findings"][0].update(reason="<b>"), "pattern"),
    "text": (lambda each: each["findings"][0].update(found="a\x1b[2Jb"), "control character"),
    "direction": (lambda each: each["unread"][0].update(why="a\u202eb"), "control character"),
    "line": (lambda each: each["asked"][0]["place"].update(line=-1), "greater than or equal"),
    "type": (lambda each: each.update(complete="no"), "valid boolean"),
    "complete": (lambda each: each.update(complete=True), "something else than unread"),
    "nothing asked": (lambda each: each.update(asked=[]), "nothing that was compared"),
    "finding elsewhere": (lambda each: each["findings"][0].update(server="edge1"), "names edge1"),
    "unread elsewhere": (lambda each: each["unread"][0].update(server="edge7"), "names edge7"),
    "no row of its own": (lambda each: each["asked"].pop(0), "names core1"),
    "outside": (lambda each: each["outside"].append({"server": "core1", "slot": "webadmin"}), "what was compared"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_spoilt_reports_are_refused(tmp_path: Path, case: str) -> None:
    """What this tool would not write is refused, and the message holds no character that a terminal obeys."""
    change, said = SPOILT[case]
    document = drift_document(shard("core1", unread=(("core1", "no"),), findings=(found("core1"),)))
    change(document)
    (tmp_path / "spoilt.json").write_text(json.dumps(document))
    with pytest.raises(InputError) as caught:
        merge([tmp_path / "spoilt.json"])

    assert said in caught.value.message
    assert "spoilt.json" in caught.value.message


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"[" * 100_000, b"null", b"[" + b"1," * 3_000_000])
def test_what_is_no_document_is_refused(content: bytes) -> None:
    """Neither nesting nor length costs more than a refusal."""
    with pytest.raises(InputError):
        read_drift(content)


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file too large, too many files and too many rows in all are refused."""
    with (tmp_path / "large.json").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(InputError, match="more than"):
        merge([tmp_path / "large.json"])
    with pytest.raises(InputError, match="at most 1000"):
        merge([tmp_path / "0.json"] * 1001)
    monkeypatch.setattr(merging, "MOST_ROWS", 10)
    with pytest.raises(InputError, match="more rows than any fleet has"):
        merge(files(tmp_path, shard("core1"), shard("core2"), shard("edge1")))


def test_a_notice_of_what_nobody_asked_about_stays(tmp_path: Path) -> None:
    """What a run left on a server that no report holds is still told."""
    notice = Notice(message="left", server="core2", slot="turn", reason="left-by-run")

    assert merge(files(tmp_path, shard("core1", notices=(notice,)))).report.notices == (notice,)
