"""Where things stand in the drawing of expiries: months as columns, today, and what public CAs may issue when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cmscert.pki.public_cas import CLIENT_AUTH_ENDED, LONGEST_LIVES
from cmscert.reports.html.certificates import Detail
from cmscert.reports.plain import counted

WIDTH = 960
LEFT = 132
RIGHT = 64
TOP = 84
TALL = 120
BOTTOM = 30
MONTHS_BEFORE = 2
MONTHS_AFTER = 15
MONTHS_BEYOND = 3
EVERY_MONTHS = 3
YEAR = 12
NARROW = 46
"""Width below which a band has no room for its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What ends in one month. ``leaf`` and ``ca``: (y, height) of its two parts; ``gone``: it lies in the past."""

    label: str
    x: float
    width: float
    leaves: tuple[Detail, ...]
    authorities: tuple[Detail, ...]
    leaf: tuple[float, float]
    ca: tuple[float, float]
    gone: bool

    @property
    def count(self) -> int:
        """How many certificates end in it."""
        return len(self.leaves) + len(self.authorities)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A time during which a rule holds. ``rule``: 0 for lives, 1 for clientAuth."""

    x: float
    width: float
    y: float
    text: str
    title: str
    rule: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The drawing. ``ticks``: (x, label); ``marks``: x of days from which a rule holds; ``told``: it in words."""

    columns: tuple[Column, ...]
    bands: tuple[Band, ...]
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[float, ...]
    today: float
    today_label: str
    told: str
    width: int = WIDTH
    height: int = TOP + TALL + BOTTOM
    left: int = LEFT
    top: int = TOP
    base: int = TOP + TALL


@dataclass(frozen=True, slots=True)
class _Scale:
    start: datetime
    end: datetime

    def x(self, at: datetime) -> float:
        """Return where a moment stands, inside of the drawing."""
        share = (at - self.start) / (self.end - self.start)
        return round(LEFT + min(max(share, 0.0), 1.0) * (WIDTH - LEFT - RIGHT), 1)


def timeline_of(details: Iterable[Detail], now: datetime) -> Timeline:
    """Draw the ends of certificates. ``now``: aware."""
    shown = list(details)
    scale = _scale(now)
    columns = _columns(shown, scale, now)
    return Timeline(
        columns=columns,
        bands=(*_lives(scale), *_client_auth(scale)),
        ticks=tuple((scale.x(at), f"{at:%Y-%m}") for at in _months(scale) if (at.month - 1) % EVERY_MONTHS == 0),
        marks=tuple(scale.x(since) for since, _ in LONGEST_LIVES if scale.start < since < scale.end),
        today=scale.x(now),
        today_label=f"today, {now.astimezone(UTC):%Y-%m-%d}",
        told=_told(shown, now),
    )


def _told(shown: list[Detail], now: datetime) -> str:
    gone = sum(each.gone(now) for each in shown)
    words = f"{counted(len(shown), 'certificate')} by the month of their end, {gone} of them expired."
    if not shown:
        return "No certificate was read."
    coming = [each.certificate.not_after for each in shown if not each.gone(now)]
    return words + (f" The next ends on {min(coming):%Y-%m-%d}." if coming else "")


def _scale(now: datetime) -> _Scale:
    """From shortly before today to shortly after the last change of the rules that is still to come."""
    last = LONGEST_LIVES[-1][0]
    beyond = _moved(last, MONTHS_BEYOND) if last > now else now
    return _Scale(_moved(now, -MONTHS_BEFORE), max(_moved(now, MONTHS_AFTER), beyond))


def _moved(at: datetime, months: int) -> datetime:
    """Return the first day of the month that is so many months away."""
    year, month = divmod(at.year * YEAR + at.month - 1 + months, YEAR)
    return datetime(year, month + 1, 1, tzinfo=UTC)


def _months(scale: _Scale) -> Iterator[datetime]:
    at = scale.start
    while at < scale.end:
        yield at
        at = _moved(at, 1)


def _columns(shown: list[Detail], scale: _Scale, now: datetime) -> tuple[Column, ...]:
    months: dict[datetime, list[Detail]] = {}
    for each in shown:
        at = _moved(each.certificate.not_after.astimezone(UTC), 0)
        months.setdefault(min(max(at, _moved(scale.start, -1)), scale.end), []).append(each)
    most = max((len(held) for held in months.values()), default=1)
    return tuple(_column(at, months[at], scale, now, most) for at in sorted(months))


def _column(at: datetime, held: list[Detail], scale: _Scale, now: datetime, most: int) -> Column:
    leaves = tuple(each for each in held if not each.is_ca)
    authorities = tuple(each for each in held if each.is_ca)
    x, width, label = scale.x(at) + 1, scale.x(_moved(at, 1)) - scale.x(at) - 2, f"{at:%Y-%m}"
    if at < scale.start:
        x, width, label = LEFT - 24.0, 20.0, f"before {scale.start:%Y-%m}"
    elif at >= scale.end:
        x, width, label = WIDTH - RIGHT + 18.0, 26.0, f"from {scale.end:%Y-%m} on"
    unit = (TALL - 16) / most
    low = round(len(leaves) * unit, 1)
    high = round(len(authorities) * unit, 1)
    base = TOP + TALL
    return Column(
        label=label,
        x=round(x, 1),
        width=round(width, 1),
        leaves=leaves,
        authorities=authorities,
        leaf=(round(base - low, 1), low),
        ca=(round(base - low - high, 1), high),
        gone=all(each.gone(now) for each in held),
    )


def _lives(scale: _Scale) -> Iterator[Band]:
    for number, (since, life) in enumerate(LONGEST_LIVES):
        until = LONGEST_LIVES[number + 1][0] if number + 1 < len(LONGEST_LIVES) else scale.end
        x, end = scale.x(since), scale.x(until)
        if end > x:
            title = f"issued from {since:%Y-%m-%d} on: {life.days} days at most"
            text = f"{life.days} days" if end - x >= NARROW else ""
            yield Band(x=x, width=round(end - x, 1), y=22, text=text, title=title, rule=0)


def _client_auth(scale: _Scale) -> Iterator[Band]:
    x, end = scale.x(CLIENT_AUTH_ENDED), scale.x(scale.end)
    if end > x:
        text = f"none from public CAs since {CLIENT_AUTH_ENDED:%Y-%m-%d}"
        yield Band(x=x, width=round(end - x, 1), y=46, text=text, title=f"clientAuth: {text}", rule=1)
