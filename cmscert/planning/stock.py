"""Where the files come from that a rollback binds again: the store, a copy in the store, or the run's directory.

What cannot be had any more is told before anything is touched. Keys are only ever in the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from cmscert.errors import InputError
from cmscert.model.observed import Binding
from cmscert.model.readings import Known, Unread
from cmscert.pki.certificate import Certificate
from cmscert.pki.pem import read_certificates
from cmscert.planning.past import Overwritten, Past, Place, as_copied, is_key, put
from cmscert.planning.retrace import Retraced
from cmscert.planning.sight import Sight


@dataclass(slots=True, kw_only=True)
class Stock:
    """``puts``: by (server, file), public bytes that are put there again. ``gone``: server, and what cannot be had."""

    puts: dict[Place, bytes] = field(default_factory=dict)
    gone: list[tuple[str, str]] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)

    def certificates(self, sight: Sight, file: str, *, copy: str | None) -> tuple[Certificate, ...]:
        """Return what a file will hold: as it is put there again, or of its copy, or as it is."""
        content = self.puts.get((sight.name, file))
        return sight.certificates(copy or file) if content is None else read_certificates(content, file=file)


def take_stock(past: Past, sights: Mapping[str, Sight], retraced: Retraced) -> Stock:
    """Look for every file that is to be bound again."""
    stock = Stock()
    for each in retraced.restored.values():
        _copy(past, sights[each.step.server], each, stock)
    uploads = put(past)
    for back in retraced.backs:
        sight = sights[back.step.server]
        for file in dict.fromkeys(name for binding in back.bindings for name in binding.files):
            place = (sight.name, file)
            if place not in retraced.restored:
                _plain(past, sight, file, uploads.get(place, "").removeprefix("sha256:") or past.held.get(place), stock)
    copies = {place: each.copy for place, each in retraced.restored.items() if place not in stock.puts}
    for back in retraced.backs:
        for bound in back.pairs:
            _pair(sights[back.step.server], as_copied(back.step.server, bound, copies), stock)
    stock.gone = list(dict.fromkeys(stock.gone))
    return stock


def _copy(past: Past, sight: Sight, each: Overwritten, stock: Stock) -> None:
    """The copy in the store, or else what the run's directory keeps of a public file."""
    held = past.held.get(each.place)
    content = sight.file(each.copy)
    right = is_key(each.file) or not isinstance(content, Known) or held in (None, content.value.sha256)
    if sight.stored(each.copy) and right:
        return
    if not _put_again(past, each.place, held, stock):
        why = "holds other bytes than it saved" if sight.stored(each.copy) else "is not in the store any more"
        stock.gone.append((sight.name, f"{each.copy}, the copy of {each.file} before run {past.run}, {why}"))


def _plain(past: Past, sight: Sight, file: str, expected: str | None, stock: Stock) -> None:
    content = sight.file(file)
    if is_key(file) and sight.stored(file):
        return
    if isinstance(content, Unread) and sight.stored(file):
        stock.unread.append((sight.name, f"{file}: {content.why}"))
    elif isinstance(content, Known):
        if expected not in (None, content.value.sha256):
            stock.gone.append((sight.name, f"{file} holds other bytes than before run {past.run}"))
    elif not _put_again(past, (sight.name, file), expected, stock):
        stock.gone.append((sight.name, f"{file} is not in the store any more"))


def _put_again(past: Past, place: Place, expected: str | None, stock: Stock) -> bool:
    kept = past.kept.get(place)
    if kept is None or expected not in (None, hashlib.sha256(kept).hexdigest()):
        return False
    with suppress(InputError):
        read_certificates(kept, file=place[1])
        stock.puts[place] = kept
    return place in stock.puts


def _pair(sight: Sight, bound: Binding, stock: Stock) -> None:
    match = sight.observed.matches.get((bound.key or "", bound.certificate or ""))
    if match == Known(value=False):
        stock.gone.append((sight.name, f"{bound.key} does not belong to {bound.certificate} any more"))
