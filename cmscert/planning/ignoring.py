"""``policy.ignore``: drift that nobody is to mend, each with a reason; it is shown, and no step follows from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase

from cmscert.model.desired import Ignore
from cmscert.model.plan import Drift


def with_ignores(drift: Drift, rules: tuple[Ignore, ...], moment: datetime) -> Drift:
    """Mark a difference as left alone by the first rule that fits and holds.

    Where only rules fit whose last day is over, the difference counts, and says which of them ended last.
    """
    fitting = [rule for rule in rules if _fits(rule, drift)]
    today = moment.strftime("%Y-%m-%d")
    rule = next((rule for rule in fitting if rule.until is None or rule.until >= today), None)
    if rule is not None:
        return replace(drift, ignored=rule.reason, ignored_until=rule.until, plannable=False)
    if fitting:
        over = max(fitting, key=lambda each: each.until or "")
        return replace(drift, ignore_ended=f"{over.reason} (until {over.until})")
    return drift


def _fits(rule: Ignore, drift: Drift) -> bool:
    return (
        fnmatchcase(drift.server, rule.server)
        and fnmatchcase(drift.slot or "", rule.slot)
        and fnmatchcase(drift.reason, rule.drift)
    )
