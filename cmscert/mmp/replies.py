"""What an answer means. A server's output is hostile until ``clean`` has been over it; no reader here ever raises.

Sourced wording: SUCCESS and FAILURE lines (T-20 to T-23), ``Unknown command`` ([S1]), ``user list`` ([S1]),
``pki list`` (T-11), log stamps (T-01). The wording of ``version``, ``date``, ``pki match`` and
``pki verify`` is unknown, so those readers take several and answer ``Unread`` when in doubt: nothing may lean on their
wording alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from cmscert.model.names import Release
from cmscert.model.readings import ABSENT, Known, Reading, Unread

MAX_ANSWER: Final = 1024 * 1024
"""Bytes of an answer that are looked at; the rest is cut off."""

MAX_LINE: Final = 4096
"""Characters of a line that are kept; the rest is cut off."""

CUT: Final = "[cut]"
"""Stands at the end of a line or of an answer that was cut off."""

# ESC or the C1 control of the same meaning; the end of a sequence may be missing, so that none can swallow more than
# its own line and the work stays linear.
_CSI: Final = "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"
_STRING: Final = "(?:\x1b[\\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\r\n]*(?:\x07|\x1b\\\\|\x9c)?"
_ESCAPE: Final = "\x1b[ -/]*[0-~]?"
_SEQUENCES: Final = re.compile(f"{_CSI}|{_STRING}|{_ESCAPE}")
# C0 and C1 controls but the line end; marks that turn or hide text in a terminal (bidi, zero width, line separators).
_CONTROLS: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)

_VERDICT: Final = re.compile(r"\b(SUCCESS|FAILURE):(?= |$)", re.MULTILINE)
_MOST_LINES: Final = 200  # of an answer to version
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_RELEASE_LIKE: Final = re.compile(r"(?<![\d.])([1-9])\.(\d{1,2})(?:\.\d+)*(?![\d.])")
_DAY: Final = re.compile(r"\b(\d{4})-([A-Za-z]{3})-(\d{1,2})\b")
_STAMP: Final = re.compile(
    r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:?\d\d)? +[^\s.]+\.\S+ ", re.MULTILINE
)

_ZONE: Final = r"(?: ?(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d|[A-Z]{2,5})\b)?"
_TIME: Final = r"(?P<hour>\d{1,2}):(?P<minute>\d\d):(?P<second>\d\d)(?:\.\d+)?"
_MOMENTS: Final = (
    re.compile(rf"\b(?P<year>\d{{4}})-(?P<month>\d\d|[A-Za-z]{{3}})-(?P<day>\d{{1,2}})[T ]{_TIME}{_ZONE}"),
    re.compile(rf"\b(?P<month>[A-Za-z]{{3}}) (?P<day>\d{{1,2}}) {_TIME}{_ZONE} (?P<year>\d{{4}})\b"),
    re.compile(rf"\b(?P<day>\d{{1,2}}) (?P<month>[A-Za-z]{{3}})[a-z]* (?P<year>\d{{4}}),? {_TIME}{_ZONE}"),
)

_NO_MATCH: Final = re.compile(
    r"\bmismatch|n't match|\b(?:not|never|no|neither|cannot|fail\w*)\b[^\n]{0,60}\bmatch"
    r"|\bmatch\w*[: ]+(?:no|false|fail\w*)\b",
    re.IGNORECASE,
)
_MATCH: Final = re.compile(r"\bmatch(?:es|ed|ing)?\b", re.IGNORECASE)
_NOT_VERIFIED: Final = re.compile(
    r"(?:n't|\b(?:not|cannot|could not|never))\b[^\n]{0,60}\bverif|\bverif\w*\b[^\n]{0,60}\b(?:fail\w*|false|not ok)\b"
    r"|\berror \d+ at \d+ depth",
    re.IGNORECASE,
)
_VERIFIED: Final = re.compile(r"\bverif(?:ied|ies|ication)\b|: ?ok\b", re.IGNORECASE)
_SOLE_WORDS: Final = {"ok": True, "yes": True, "true": True, "failed": False, "no": False, "false": False}
_NOT_LOOKED_AT: Final = re.compile(r"\b(?:no such|not found|not exist|usage)\b|^\s*unknown command", re.IGNORECASE)
_TROUBLE: Final = re.compile(
    r"FAILURE|\b(?:error|fail\w*|unable|cannot|could not|invalid|not found|no such|usage|unknown)\b", re.IGNORECASE
)


def clean(raw: bytes) -> str:
    """Make an answer fit for parsers, logs and terminals: text whose only control character is the line end.

    At most ``MAX_ANSWER`` bytes are looked at and ``MAX_LINE`` characters of a line are kept. Linear in time.
    """
    text = raw[:MAX_ANSWER].decode("utf-8", errors="replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", "    ")
    text = _CONTROLS.sub("", _SEQUENCES.sub("", text))
    lines = [line if len(line) <= MAX_LINE else line[: MAX_LINE - len(CUT)] + CUT for line in text.split("\n")]
    if len(raw) > MAX_ANSWER:
        lines.append(CUT)
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The SUCCESS and FAILURE lines of an answer, without those words (T-20, T-22)."""

    successes: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether any line says FAILURE. That none does is no proof of success: read the state back."""
        return bool(self.failures)


def verdict(text: str) -> Verdict:
    """Collect SUCCESS and FAILURE lines, also several joined on one line (transcript 25)."""
    said: dict[str, list[str]] = {"SUCCESS": [], "FAILURE": []}
    for line in text.splitlines():
        if "SUCCESS:" not in line and "FAILURE:" not in line:
            continue  # a million empty lines would take a second otherwise
        found = list(_VERDICT.finditer(line))
        ends = [*(mark.start() for mark in found[1:]), len(line)]
        for mark, end in zip(found, ends, strict=False):
            said[mark[1]].append(line[mark.end() : end].strip())
    return Verdict(successes=tuple(said["SUCCESS"]), failures=tuple(said["FAILURE"]))


def is_unknown_command(text: str) -> bool:
    """Tell whether the server does not know the command; the rest of that sentence is unknown ([S1])."""
    return text.lstrip()[:40].lower().startswith("unknown command")


def read_version(text: str) -> Reading[Release]:
    """Find the release in the answer to ``version``; several different ones are Unread (wording unknown)."""
    if is_unknown_command(text):
        return ABSENT
    lines = [line for line in text.splitlines() if line.strip()][:_MOST_LINES]
    labelled = [line for line in lines if re.search(r"version|release", line, re.IGNORECASE)]
    for candidates in (lines[:1], labelled, lines):
        releases = {Release(int(major), int(minor)) for major, minor in _RELEASE_LIKE.findall("\n".join(candidates))}
        if len(releases) == 1:
            return Known(releases.pop())
    return Unread("the answer to version shows no release that can be told for certain")


def read_user_expiry(text: str, user: str) -> Reading[date]:
    """Find when a user's password expires in ``user list``: name, role, ``YYYY-Mon-DD``, status ([S1]).

    Absent: the user's row says ``never`` or ``none`` ([UNK]).
    """
    for line in text.splitlines():
        columns = line.split()
        if not columns or columns[0] != user:
            continue
        day = _DAY.search(line)
        expiry = _day(day[1], day[2], day[3]) if day else None
        if expiry is not None:
            return Known(expiry)
        if {"never", "none"}.intersection(column.lower() for column in columns[1:]):
            return ABSENT
        return Unread("user list shows no date for the user that is logged in")
    return Unread("user list does not show the user that is logged in")


def _day(year: str, month: str, day: str) -> date | None:
    if month.lower() in _MONTHS:
        month = str(_MONTHS.index(month.lower()) + 1)
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def read_match(text: str) -> Reading[bool]:
    """Read ``pki match``: True, False, or Unread, because its wording is unknown (open point 1)."""
    return _yes_or_no(text, _NO_MATCH, _MATCH) or Unread("the answer to pki match says neither yes nor no")


def read_verify(text: str) -> Reading[bool]:
    """Read ``pki verify``: True, False, or Unread, because its wording is unknown (open point 1)."""
    return _yes_or_no(text, _NOT_VERIFIED, _VERIFIED) or Unread("the answer to pki verify says neither yes nor no")


def _yes_or_no(text: str, negative: re.Pattern[str], positive: re.Pattern[str]) -> Known[bool] | None:
    """Decide only what is plain: a file that is missing, or trouble of another kind, is neither yes nor no."""
    word = text.strip().lower()
    if word in _SOLE_WORDS:
        return Known(value=_SOLE_WORDS[word])
    if _NOT_LOOKED_AT.search(text):
        return None
    if negative.search(text):
        return Known(value=False)
    return Known(value=True) if positive.search(text) and not _TROUBLE.search(text) else None


def read_date(text: str) -> Reading[datetime]:
    """Find the server's clock in the answer to ``date`` ([UNK]); a time without a zone is taken as UTC ([INF])."""
    if is_unknown_command(text):
        return ABSENT
    plain = " ".join(text.split())
    for shape in _MOMENTS:
        found = shape.search(plain)
        moment = _moment(found.groupdict()) if found else None
        if moment is not None:
            return Known(moment)
    return Unread("the answer to date shows no time that can be told for certain")


def _moment(parts: dict[str, str | None]) -> datetime | None:
    day = _day(parts["year"] or "", parts["month"] or "", parts["day"] or "")
    zone = _zone(parts["zone"])
    if day is None or zone is None:
        return None
    clock = [int(parts[name] or "") for name in ("hour", "minute", "second")]
    return _aware(day, clock, zone)


def _aware(day: date, clock: list[int], zone: timezone) -> datetime | None:
    hour, minute, second = clock
    try:
        return datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone | None:
    """Return the zone; None for a name that is not known, because a wrong guess would look like a wrong clock."""
    if text in {None, "Z", "UTC", "GMT"}:
        return UTC
    found = re.fullmatch(r"([+-])(\d\d):?(\d\d)", text or "")
    if found is None or int(found[2]) > 23 or int(found[3]) > 59:  # noqa: PLR2004 - hours and minutes
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-offset if found[1] == "-" else offset)


def read_log_stamp(text: str) -> Reading[datetime]:
    """Find the last stamp of T-01's form in a tail of the log; without a zone it is taken as UTC ([INF]).

    Older stamps (``Mar 31 10:16:59``, T-52) tell no year and are passed over.
    """
    last: datetime | None = None
    for found in _STAMP.finditer(text):
        parts = found[1]
        zone = _zone(found[2])
        day = _day(parts[:4], parts[5:7], parts[8:10])
        moment = None
        if day is not None and zone is not None:
            moment = _aware(day, [int(part) for part in parts[11:].split(":")], zone)
        last = moment or last
    return Known(last) if last else Unread("the log shows no line with a full time stamp")


def read_pki_list(text: str) -> Reading[tuple[str, ...]]:
    """Read ``pki list``: a fixed heading, then one name a line, not sorted (T-11)."""
    lines = [line.strip() for line in text.splitlines()]
    for number, line in enumerate(lines):
        if line.lower() == "user supplied certificates and keys:":
            names = lines[number + 1 :]
            end = names.index("") if "" in names else len(names)
            return Known(tuple(names[:end]))
    return Unread("the answer to pki list does not begin as it should")
