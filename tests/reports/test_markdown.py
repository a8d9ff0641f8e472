"""Markdown, drawn by a real parser: what devices say does nothing, and the page stays small enough for a comment."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cmscert.reports.markdown import drift_markdown, status_markdown
from cmscert.reports.markdown_page import LONGEST, MOST_BYTES, Page, code
from cmscert.reports.plain import safe
from cmscert.testing.fleet_reports import HOSTILE, many_findings, sample_drift, sample_status

PARSER = MarkdownIt("commonmark").enable("table")


def cells(markdown: str) -> list[list[str]]:
    """Draw a page and return the texts of its tables' rows."""
    rows = re.findall(r"<tr>(.*?)</tr>", PARSER.render(markdown), re.DOTALL)
    return [
        [html.unescape(re.sub(r"</?(?:code|strong)>", "", cell)) for cell in re.findall(r"<t[dh]>(.*?)</t[dh]>", row)]
        for row in rows
    ]


@given(st.text(max_size=80))
def test_a_text_is_shown_as_it_is(text: str) -> None:
    """Whatever stands in a cell is read there again, in one piece, and nothing of it is markup."""
    shown = safe(text)
    page = f"| one | two |\n|---|---|\n| {code(text)} | end |"
    [_, [first, last]] = cells(page)

    assert last == "end"
    assert first == shown
    assert not re.search(r"<(?!/?(?:table|thead|tbody|tr|th|td|code)\b)", PARSER.render(page))


def test_hostile_words_do_nothing() -> None:
    """Pipes, backticks, tags, mentions and control characters of a device stay text."""
    page = drift_markdown(sample_drift())
    rows = cells(page)

    assert [row[4] for row in rows if row[1:2] == ["turn"]] == [safe(HOSTILE)]
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "@team" not in page


def test_drift_reads_as_written() -> None:
    """The page begins with the verdict, says what was not read, and lists findings with wanted and found."""
    page = drift_markdown(sample_drift())

    assert page.startswith(
        "## Drift of `example`: 6 findings on 2 servers\n\n2026-11-23 20:30 UTC · 5 slots on 3 servers"
    )
    assert "only `server=*`" in page
    assert "### Not read: 1\n\n| Server | Why |" in page
    since = "since 2026-11-21 20:30 UTC"
    hand, more = f"changed on the server {since}", f"the inventory asks for more {since}"
    assert f"| `core1` | `webadmin` | `leaf-differs` (error) | {hand} | `the new one` | `the old one` |" in page
    assert f"| `core1` |  | `release-differs` (warning) | {more} | `3.9` | `3.8` |" in page
    assert "### Ignored by the inventory: 1\n\n<details><summary>1 finding</summary>\n\n|" in page
    assert "`moved with CHG-1204`" in page
    assert "<details><summary>1 notice</summary>" in page


@pytest.mark.parametrize(
    ("unread", "verdict"), [((), "none"), ((("edge2", "no answer"),), "none in what could be read")]
)
def test_no_drift_is_said_of_what_was_read(unread: tuple[tuple[str, str], ...], verdict: str) -> None:
    """No drift is claimed for the whole fleet only when the whole fleet was read."""
    calm = replace(sample_drift(), findings=(), notices=(), unread=unread, select=())

    assert drift_markdown(calm).startswith(f"## Drift of `example`: {verdict}\n")
    assert "Ignored" not in drift_markdown(calm)


@pytest.mark.parametrize("number", [26, 120, 3000])
def test_the_page_fits_a_comment(number: int) -> None:
    """However much there is, the page stays below the limit; the rest is folded, and what has no room is counted."""
    page = drift_markdown(many_findings(number))

    assert len(page.encode()) <= MOST_BYTES
    assert page.count("<details>") == page.count("</details>")
    assert f"## Drift of `example`: {number} findings" in page
    assert len(cells(page)) > 30


def test_what_cannot_be_told_is_said_once_on_the_page() -> None:
    """Below the findings stands how many nobody can place, and why."""
    page = drift_markdown(sample_drift())

    assert page.count("Whether people or the inventory brought 1 difference about cannot be told: ") == 1


def test_ignores_say_until_when() -> None:
    """An ignored finding has its last day; one whose ignore has ended says so where it counts again."""
    rows = cells(drift_markdown(sample_drift()))

    assert [row[5:] for row in rows if row[1:2] == ["turn"]] == [["moved with CHG-1204", "2026-12-31"]]
    assert [row[5] for row in rows if row[1:2] == ["recorder"]] == [
        "the old one<br>no longer left alone: CHG-9 (until 2026-11-01)"
    ]


def test_what_has_no_room_is_counted() -> None:
    """Rows that are shown and rows that are counted make up all of them."""
    page = drift_markdown(many_findings(3000))
    shown = sum(len(row) in {6, 7} and row[2].startswith("leaf-differs") for row in cells(page))
    left = [int(number) for number in re.findall(r"^(\d+) (?:more )?findings left out here", page, re.MULTILINE)]

    assert shown + sum(left) == 6000
    assert len(left) == 2


def test_a_table_is_folded_after_its_first_rows() -> None:
    """Some rows stand open, the others behind a fold that says how many there are."""
    page = Page()
    page.table(("a",), [(str(number),) for number in range(30)], noun="row", room=5000, shown=10)

    assert str(page).index("| 9 |") < str(page).index("<details><summary>20 more rows</summary>")
    assert str(page).endswith("| 29 |\n\n</details>\n")


def test_a_table_without_any_room_is_a_count() -> None:
    """Where not even one row fits, only their number is said."""
    page = Page(most=10)
    page.table(("a",), [("x",)] * 3, noun="row", room=5000)

    assert str(page) == "3 rows left out here: `--format text` has all.\n"


def test_an_overlong_text_is_cut() -> None:
    """One long answer does not take the room of all others."""
    assert len(code("x" * 5000)) == LONGEST + 2


def test_status_reads_as_written() -> None:
    """The next certificate to end comes first, with what is served instead of it and from when it is to be renewed."""
    rows = cells(status_markdown(sample_status()))
    page = status_markdown(sample_status())

    assert page.startswith(
        "## Status of `example`: 1 expired, 1 ends within 30 days, 1 server not read\n\n2026-11-23 20:30 UTC · "
    )
    held = [row for row in rows if len(row) == 8][1:]
    assert [row[3] for row in held[:2]] == ["turn", "webbridge3/https"]
    assert [row[0] for row in held[2:]] == sorted(row[0] for row in held[2:])
    assert held[0][1:] == [
        "expired 2 days ago", "edge1", "turn", "gone.example.com", "Issuing CA", "the same", "now",
    ]  # fmt: skip
    [https] = [row for row in held if row[3] == "webbridge3/https"]
    assert https == [
        "2027-02-21", "90 days left", "edge1", "webbridge3/https", "join.example.com", "Issuing CA",
        "other, until 2026-12-01: join.example.com", "2027-01-02",
    ]  # fmt: skip
    assert {"database/main/server", "database/main/ca", "webbridge3/trust-c2w"} <= {row[3] for row in held}
    assert ["edge1", "3.9", "-2 s", "2027-03-31", "main none"] in rows
    assert ["edge3", "", "", "", ""] in rows


def test_a_quiet_status_says_so() -> None:
    """The verdict counts what ends soon; without a server there is no table."""
    [edge1, _, bare] = sample_status().servers
    https = edge1.slots[0]
    soon = replace(https, ends=sample_status().made_at.replace(month=12, day=1), served=https.on_disk)
    status = replace(sample_status(), servers=(replace(edge1, slots=(soon,), database=None),), select=())

    assert status_markdown(status).startswith("## Status of `example`: 1 ends within 30 days\n")
    two = replace(status, servers=(replace(edge1, slots=(soon, soon), database=None),))
    assert status_markdown(two).startswith("## Status of `example`: 2 end within 30 days\n")
    calm = status_markdown(replace(status, servers=(bare,)))
    assert calm.startswith("## Status of `example`: nothing ends within 30 days\n")
    assert "### Servers" not in status_markdown(replace(status, servers=()))


def test_a_status_of_many_servers_fits_a_comment() -> None:
    """The limit holds for a status too."""
    [edge1, gone, bare] = sample_status().servers
    many = tuple(replace(each, server=f"s{number}") for number in range(2000) for each in (edge1, gone, bare))
    page = status_markdown(replace(sample_status(), servers=many, select=("server=" + "s" * 900,) * 900))

    assert len(page.encode()) <= MOST_BYTES
    assert "certificates left out here" in page
