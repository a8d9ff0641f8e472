"""The pages for people: what stands in them, how large they are, and what they do not believe."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from cmscert.apply.before import ServerBefore
from cmscert.errors import Fault
from cmscert.mmp.services import SERVICES
from cmscert.model.events import Asked, CommandSent, ReplyReceived, StepStarted
from cmscert.model.overview import Overview
from cmscert.model.plan import FLEET
from cmscert.model.results import DriftReport, FleetStatus
from cmscert.pki.public_cas import LONGEST_LIVES
from cmscert.reports.html.certificates import album_of
from cmscert.reports.html.fleet import Lead, fleet_page
from cmscert.reports.html.lanes import lanes_of_plan, schedule
from cmscert.reports.html.run import run_page
from cmscert.reports.html.timeline import timeline_of
from cmscert.testing.fleets import ToyFleet
from cmscert.testing.overviews import (
    HOSTILE,
    MOMENT,
    fleet_overview,
    hostile_overview,
    overview_of,
    sample_before,
    sample_record,
)
from cmscert.testing.plans import database_plan, empty_plan, sample_plan

LEADS: tuple[Lead, ...] = ("status", "drift", "plan")
VOID = {"meta", "link", "input", "br", "img"}
LARGEST = 1_000_000


@dataclass
class Page(HTMLParser):
    """A page, read: its elements, ids, links, and the text of each element that has an id or is a cell."""

    text: str
    tags: Counter[str] = field(default_factory=Counter)
    attributes: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags[tag] += 1
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element of a drawing."""
        self.tags[tag] += 1
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Every element ends in order."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Note text where it belongs."""
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] in {"h1", "h2", "h3"}:
            self.headings.append(data)
        if self.open and self.open[-1] in {"script", "style"}:
            self.kept[self.open[-1]] = data

    def values(self, name: str) -> list[str]:
        """Return every value of an attribute."""
        return [str(each[name]) for _, each in self.attributes if name in each]


def draw(overview: Overview, lead: Lead = "status") -> Page:
    """Draw a fleet and read the page."""
    return Page(fleet_page(overview, lead, SERVICES))


def evidence(result: str = "neither", *, answer: str = "SUCCESS", **changes: object) -> Page:
    """Draw a run and read the page."""
    given: dict[str, object] = {"before": sample_before(), "files": ("saved/core1/x.crt",)}
    plan = changes.pop("plan", sample_plan())
    return Page(run_page(sample_record(result, answer), plan, **{**given, **changes}))  # type: ignore[arg-type]  # a test's own values


EVERY = {
    **{lead: draw(fleet_overview(), lead) for lead in LEADS},
    "merged": draw(fleet_overview(), "merged"),
    "hostile": draw(hostile_overview(), "plan"),
    "neither": evidence(answer=HOSTILE),
    "unfinished": evidence("unfinished"),
}


@pytest.mark.parametrize("name", EVERY)
def test_a_page_is_whole(name: str) -> None:
    """Elements end in order, ids are unique, and every link leads to a place in the page."""
    page = EVERY[name]
    ids = page.values("id")

    assert page.open == []
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in page.values("href") if link.startswith("#")} <= set(ids)
    assert set(page.values("aria-labelledby")) <= set(ids)


@pytest.mark.parametrize("name", EVERY)
def test_a_page_loads_and_runs_nothing_but_itself(name: str) -> None:
    """One script and one style, both named by hash in the policy; no handler, no inline style, no other address."""
    page = EVERY[name]
    policy = next(str(each["content"]) for _, each in page.attributes if each.get("http-equiv"))

    assert (page.tags["script"], page.tags["style"], page.tags["img"], page.tags["iframe"]) == (1, 1, 0, 0)
    for kind in ("script", "style"):
        digest = b64encode(sha256(page.kept[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert not [key for _, each in page.attributes for key in each if key.startswith("on") or key in {"style", "src"}]
    assert {link for link in page.values("href") if not link.startswith("#")} == {"data:,"}
    assert not re.search(r"https?://", page.text.replace("http-equiv", ""))


@pytest.mark.parametrize("name", EVERY)
def test_a_page_can_be_heard(name: str) -> None:
    """Landmarks, one main heading, captions and scopes, names of drawings: what a screen reader goes by."""
    page = EVERY[name]

    assert all(page.tags[tag] == 1 for tag in ("header", "nav", "main", "footer", "h1"))
    assert page.tags["table"] == page.tags["caption"]
    assert all("scope" in each for tag, each in page.attributes if tag == "th")
    assert all(each["role"] == "img" and each["aria-label"] for tag, each in page.attributes if tag == "svg")
    assert ("html", {"lang": "en"}) in page.attributes
    assert page.attributes[next(n for n, (tag, _) in enumerate(page.attributes) if tag == "a")][1]["class"] == "skip"


@pytest.mark.parametrize(
    ("lead", "first"), [("status", "Expiries"), ("drift", "Findings"), ("plan", "Steps")], ids=LEADS
)
def test_what_was_asked_for_comes_first(lead: Lead, first: str) -> None:
    """Every command's page begins at a glance, goes on with its own matter, and has all that is known."""
    page = EVERY[lead]
    after = [each for each in page.headings if not each.startswith(("Not read", "Refused"))]

    assert after[1:3] == ["At a glance", first]
    assert {"Slots", "Expiries", "Findings", "Certificates", "Servers"} <= set(page.headings)
    assert "Not read, so this is incomplete" in page.headings


def test_a_slot_is_told_with_its_certificate() -> None:
    """A row of the table of slots says how it stands in words, whose certificate it is, and when that ends."""
    page = EVERY["status"]

    row = next(row for row in page.rows if row[:2] == ["core1", "webbridge3/https"] and len(row) == 8)
    assert row == [
        "core1",
        "webbridge3/https",
        "differs",
        "join.example.com",
        "Public Server CA",
        "2027-01-22",
        "60",
        "now",
    ]
    assert next(row for row in page.rows if row[:1] == ["core2"] and len(row) == 8)[:3] == ["core2", "", "not read"]
    states = {row[2] for row in page.rows if len(row) == 8}
    assert states >= {"as wanted", "differs", "expired", "left alone", "not read"}


def test_findings_and_what_is_left_alone_are_apart() -> None:
    """What is to be mended is in one table, what the inventory asks to leave alone in another, with its reason."""
    page = EVERY["drift"]

    mended = [row for row in page.rows if len(row) == 5 and row[0] == "core1" and "leaf-differs" in row[2]]
    alone = [row for row in page.rows if len(row) == 7 and "CHG-1204" in row[5]]
    assert mended
    assert alone
    assert {row[0] for row in alone} == {"core3"}
    assert {row[6] for row in alone} == {"2026-12-31"}


def test_findings_say_who_made_them() -> None:
    """What was changed on a server says since when; of how many nobody knows is said once."""
    page = EVERY["drift"]

    assert [row for row in page.rows if len(row) == 5 and row[0] == "core1" and "changed on the server since" in row[2]]
    assert page.text.count("cannot be told: no apply on this server is in the journal here.") == 1


def test_a_certificate_is_told_with_chain_and_places() -> None:
    """Details name the issuers up to the root, where a certificate is bound and served, and the rules ahead."""
    text = EVERY["status"].text
    detail = text[text.index("<b>join.example.com</b>") :].split("</details>")[0]

    assert [
        re.sub("<[^>]+>", "", each).split(" until")[0] for each in re.findall("<li>(.*?until.*?)</li>", detail)
    ] == [
        "Public Server CA",
        "Public Root",
    ]
    assert "core1 turn" in detail
    assert "100 days at most from 2027-03-15 on" in detail
    assert "join8.example.com" in detail


def test_fifty_servers_stay_below_a_megabyte() -> None:
    """A large fleet is still a file that can be mailed, whichever command drew it."""
    large = fleet_overview(50)

    assert max(len(fleet_page(large, lead, SERVICES).encode()) for lead in LEADS) < LARGEST


def test_what_is_asked_twice_is_the_same() -> None:
    """The same fleet at the same moment gives the same bytes."""
    overview = fleet_overview(2)

    assert fleet_page(overview, "plan", SERVICES) == fleet_page(overview, "plan", SERVICES)


@pytest.mark.parametrize("name", ["hostile", "neither"])
def test_hostile_words_stay_words(name: str) -> None:
    """Markup, control characters, other directions and template marks from servers are shown, never obeyed."""
    text = EVERY[name].text

    assert "alert(" in text
    assert not [char for char in text if char != "\n" and not char.isprintable()]
    assert "<script>alert" not in text
    assert "\\x1b[31m\\u202egnp" in text
    assert "{{ 7*7 }}" in text


def test_a_fleet_where_nothing_is_wrong() -> None:
    """No finding, no step, no certificate: the page says so instead of showing empty tables."""
    calm = Overview(
        status=FleetStatus(made_at=MOMENT, fleet="calm", inventory_sha256="0" * 64),
        drift=DriftReport(made_at=MOMENT, fleet="calm", inventory_sha256="0" * 64, servers=0, slots=0),
        plan=empty_plan(),
    )
    for lead, said in (("drift", "All is as wanted."), ("plan", "Nothing to do."), ("status", "None was read.")):
        page = draw(calm, lead)  # type: ignore[arg-type]  # the literals above
        assert said in page.text
        assert "no certificate was read" in page.text


def test_a_server_of_which_nothing_is_wanted() -> None:
    """A server without slots, and a fleet in which everything has expired, have their words too."""
    fleet = ToyFleet()
    fleet.server("lone")
    overview = overview_of(fleet)

    assert "names no slot of it" in draw(overview).text
    late = replace(
        fleet_overview(1), status=replace(fleet_overview(1).status, made_at=datetime(2060, 1, 1, tzinfo=UTC))
    )
    assert 'class="figure">over<' in draw(late).text


@pytest.mark.parametrize("year", [2025, 2026, 2028, 2031])
def test_the_timeline_has_today_and_the_rules_to_come(year: int) -> None:
    """Today stands inside, every rule of the CA calendar that is still to come has its mark, and nothing sticks out."""
    now = datetime(year, 11, 23, tzinfo=UTC)
    details = [*album_of(fleet_overview(4).status).details.values()]
    drawn = timeline_of(details, now)

    assert drawn.left < drawn.today < drawn.width
    assert len(drawn.marks) == sum(since > now - timedelta(days=52) for since, _ in LONGEST_LIVES)
    assert sum(column.count for column in drawn.columns) == len(details)
    assert all(column.x >= 0 and column.x + column.width <= drawn.width for column in drawn.columns)
    assert all(band.x + band.width <= drawn.width for band in drawn.bands)
    assert [column.label for column in drawn.columns] == sorted(
        (column.label for column in drawn.columns), key=lambda text: (text[0] != "b", text[0] == "f", text)
    )


def test_steps_are_scheduled_after_what_they_wait_for() -> None:
    """A step begins when all in front of it is done, and a server does one at a time."""
    plan = database_plan()
    times = schedule(plan.steps)

    for step in plan.steps:
        assert all(times[name][1] <= times[step.id][0] for name in step.after)
        assert times[step.id][1] - times[step.id][0] >= (step.impact.seconds if step.impact else 0)
    drawn = lanes_of_plan(plan)
    assert drawn is not None
    assert [lane.server for lane in drawn.lanes] == ["core1", "core2", "edge1"]
    assert len(drawn.down) == 1
    assert lanes_of_plan(empty_plan()) is None


def test_a_plan_has_lanes_and_estimates() -> None:
    """Each server has a lane and a row that adds up its interruptions; each step what is typed and its way back."""
    overview = replace(fleet_overview(2), plan=sample_plan())
    page = draw(overview, "plan")

    assert [row for row in page.rows if row[:4] == ["edge1", "7", "2", "35"]]
    for step in sample_plan().steps:
        if step.server != FLEET:
            assert [row for row in page.rows if row[0] == step.id]
    assert "webbridge3 disable" in page.text
    assert "--allow last-call-bridge lifts this" in page.text
    assert "nothing lifts this" in page.text


def test_evidence_has_before_and_after() -> None:
    """For each slot that was to change: what was bound, why, and what the server showed when it was read back."""
    page = evidence()

    rows = {row[1]: row for row in page.rows if len(row) == 6}
    _, _, before, why, after, state = rows["callbridge/trust-c2w"]
    assert before == "corp.crt CN=Example Issuing CA, until 2030-01-01, abababab and 1 more"
    assert why.startswith("trust-lacks: wanted Example Issuing CA 2026")
    assert after.startswith("corp-9c0d1e2f.crt put in this run and read back, SHA-256 0123456789ab…")
    assert "read back at 20:3" in after
    assert state.startswith("done")
    assert rows["webbridge3/https"][2] == "not known"
    assert rows["webbridge3/https"][4] == "not read back"
    assert rows["webbridge3/https"][5].startswith("left as it is")


def test_evidence_of_a_run_that_went_wrong() -> None:
    """What did not end as planned, what to type by hand, and every answer are in the page."""
    page = evidence()

    assert {"Type this by hand", "Not as planned", "Before and after", "Steps"} <= set(page.headings)
    assert [row for row in page.rows if row[:1] == ["s08"] and "left as it is" in row]
    assert "failed, and the fleet is neither old nor new" in page.text
    assert "commit 0123456789abcdef and changes" in page.text
    assert "saved/core1/x.crt" in page.text


def test_evidence_of_a_run_that_broke_off() -> None:
    """A step without an end is not proven, later ones were not started, and the page says that it broke off."""
    page = evidence("unfinished")

    assert "broke off; what it had in hand is not proven" in page.text
    assert "no answer was written down" in page.text
    states = {row[0]: row[3] for row in page.rows if len(row) == 5}
    assert (states["s08"], states["s10"]) == ("not ended", "not started")
    assert "not proven" in next(row for row in page.rows if row[1:2] == ["webbridge3/https"])[5]


def test_evidence_of_runs_that_tell_less() -> None:
    """Damaged, cut, running, settled or refused ones, and those whose plan or state before cannot be read."""
    record = sample_record("refused")
    damaged = replace(record, header={}, events=(), fault=Fault(message="the sum is wrong"), settled="")
    dead = sample_record("unfinished")
    back = replace(record, header={**record.header, "command": "rollback", "rolls_back": "X1", "revision": None})
    settled = replace(dead, torn=True, settled="20261124T000000Z-abcdef")

    told = Page(run_page(damaged, None, before=None)).text
    assert "the journal is damaged" in told
    assert "The plan of this run cannot be read" in told
    assert "goes on now" in Page(run_page(dead, sample_plan(), before=None, live=True)).text
    assert "by run 20261124T000000Z-abcdef" in Page(run_page(settled, sample_plan(), before={})).text
    assert "rollback of run X1" in Page(run_page(back, sample_plan(), before={})).text


def test_what_was_read_back_is_told_as_it_was_read() -> None:
    """A screen that holds passwords, one that is unclear, and one that shows nothing bound have words of their own."""
    plan = sample_plan()
    moment = sample_record().events[-1].at

    def after(shown: str, **changes: object) -> str:
        events = (
            StepStarted(at=moment, step="s07", server="core1", what="bind"),
            CommandSent(at=moment, step="s07", server="core1", typed="callbridge restart"),
            ReplyReceived(at=moment, step="s07", server="core1", typed="callbridge restart", shown="", seconds=0.1),
            Asked(at=moment + timedelta(seconds=1), server="core1", typed="callbridge", shown=shown, seconds=0.1),
        )
        record = replace(sample_record("unfinished"), events=events)
        page = Page(run_page(record, replace(plan, **changes), before={"core1": ServerBefore(name="core1")}))  # type: ignore[arg-type]  # a test's own
        return next(row for row in page.rows if row[1:2] == ["callbridge/trust-c2w"])[4]

    assert "the screen holds passwords" in after("(not shown: holds passwords)")
    assert after("nonsense").startswith("read back, but the answer is unclear")
    assert after("Key file : a.key\nCertificate file : a.crt\nC2W trusted certs : none\n").startswith("nothing")
    assert after("Key file : a.key\nC2W trusted certs : old.crt\n").startswith("old.crt")
    assert after("x", releases={}) == "not read back"
