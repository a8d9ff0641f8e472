"""Asks an ACME CA when certificates had better be renewed (ARI, RFC 9773); needs no account and no key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from acme import messages

from cmscert.issue.acme_talk import CaFailed, Talk
from cmscert.issue.acme_wire import Wire
from cmscert.issue.acme_words import Told
from cmscert.issue.renewal_info import LATEST, Window, again_after, certificate_id
from cmscert.pki.certificate import Certificate

SECONDS: Final = 10
"""For one question: what is late here only falls back to ``policy.renew_when``."""


async def ask_windows(
    directory: str,
    leaves: Iterable[Certificate],
    known: Mapping[str, Window],
    *,
    at: datetime,
    ca_bundle: Path | None = None,
) -> tuple[dict[str, Window], str | None]:
    """Return the windows of certificates by SHA-256, and why not all could be asked for.

    Where the CA fails, what it said before holds, and it is asked again later.
    """
    talk = Talk(wire=Wire(directory, ca_bundle=ca_bundle, seconds=SECONDS), at=at)
    found: dict[str, Window] = {}
    failed: Told | None = None
    try:
        for leaf in leaves:
            if failed is None:  # otherwise it is no better now, and that may have taken seconds
                try:
                    found[leaf.sha256] = await _window(talk, leaf)
                except CaFailed as error:
                    failed = error.told
            if failed is not None:
                before = known.get(leaf.sha256) or Window(again=at)
                found[leaf.sha256] = replace(before, again=again_after(failed.wait, at))
    finally:
        talk.wire.close()
    return found, None if failed is None else failed.message


async def _window(talk: Talk, leaf: Certificate) -> Window:
    """Ask for one; a CA that offers nothing, or nonsense, suggests nothing. Raises CaFailed."""
    called = certificate_id(leaf)
    if called is None or not await talk(talk.wire.offers, "renewalInfo"):
        return Window(again=talk.at + LATEST)
    info = (await talk(talk.wire.renewal_info, called)).suggested_window
    again = again_after(talk.wire.wait(talk.at), talk.at)
    start, end = _aware(info, "start"), _aware(info, "end")
    if start is None or end is None or not start < end or end <= leaf.not_before:
        return Window(again=again)
    return Window(start=start, end=end, again=again)


def _aware(window: messages.RenewalInfo.SuggestedWindow, name: str) -> datetime | None:
    moment = getattr(window, name, None)
    return moment.astimezone(UTC) if isinstance(moment, datetime) else None
