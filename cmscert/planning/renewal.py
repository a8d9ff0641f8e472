"""Whether a certificate has to be obtained anew, and whether it is late: pure, and the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cmscert.model.desired import Due
from cmscert.pki.certificate import Certificate
from cmscert.planning.due import due_at, end_of, is_due
from cmscert.planning.words import day, time_left


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What is in store of a certificate, beside what the inventory asks for.

    ``chain``: leaf first, empty when there is nothing. ``issuer``: who delivered it. ``on_device``: its key is on a
    server. ``unfit``: why it could not be used, were it delivered today, but for its own end. The fields that begin
    with ``wanted`` are the inventory's; None leaves it open.
    """

    chain: tuple[Certificate, ...] = ()
    issuer: str | None = None
    on_device: bool = False
    unfit: tuple[str, ...] = ()
    wanted_issuer: str
    wanted_on_device: bool = False
    wanted_type: str | None = None
    wanted_bits: int | None = None


def not_there(held: Holding, _due: Due, _moment: datetime) -> str | None:
    """Nothing was obtained yet."""
    return None if held.chain else "there is none yet"


def expired(held: Holding, _due: Due, moment: datetime) -> str | None:
    """The chain in store has ended."""
    if not held.chain or end_of(held.chain) > moment:
        return None
    return f"the one in store expired on {day(end_of(held.chain))}"


def due(held: Holding, due: Due, moment: datetime) -> str | None:
    """It is time, by ``policy.renew_when``."""
    if not held.chain or end_of(held.chain) <= moment or not is_due(held.chain, due, moment):
        return None
    return f"due since {day(due_at(held.chain, due))}: {time_left(end_of(held.chain), moment)}"


def no_longer_fit(held: Holding, _due: Due, _moment: datetime) -> str | None:
    """The inventory asks for names or usages that it does not have, or for another CA."""
    return "; ".join(held.unfit) or None


def key_differs(held: Holding, _due: Due, _moment: datetime) -> str | None:
    """The inventory asks for another kind or size of key. What a server makes is the server's choice ([UNK])."""
    if not held.chain or held.wanted_on_device:
        return None
    leaf = held.chain[0]
    wanted = (held.wanted_type or leaf.key_type, held.wanted_bits or leaf.key_bits)
    if wanted == (leaf.key_type, leaf.key_bits):
        return None
    return f"its key is {leaf.key_type} {leaf.key_bits}, wanted is {wanted[0]} {wanted[1]}"


def key_elsewhere(held: Holding, _due: Due, _moment: datetime) -> str | None:
    """The inventory wants the key made elsewhere."""
    if not held.chain or held.on_device == held.wanted_on_device:
        return None
    return "its key was made here" if held.wanted_on_device else "its key was made on the server"


def issuer_differs(held: Holding, _due: Due, _moment: datetime) -> str | None:
    """The inventory names another issuer."""
    if not held.chain or held.issuer == held.wanted_issuer:
        return None
    return f"issuer {held.issuer} delivered it, wanted is {held.wanted_issuer}"


REASONS: tuple[Callable[[Holding, Due, datetime], str | None], ...] = (
    not_there,
    expired,
    issuer_differs,
    no_longer_fit,
    key_differs,
    key_elsewhere,
    due,
)


def why_renew(held: Holding, due: Due, moment: datetime) -> str | None:
    """Say why a certificate has to be obtained; None when what is in store will do."""
    found = [why for reason in REASONS if (why := reason(held, due, moment)) is not None]
    return "; ".join(found) or None


def at_risk(held: Holding, due: Due, moment: datetime) -> bool:
    """Tell whether a renewal that fails now must be heard of.

    It must when there is nothing that could be used, or when less than half of the time is left that the policy gives
    to a renewal.
    """
    if not held.chain:
        return True
    end = end_of(held.chain)
    return moment >= end - (end - due_at(held.chain, due)) / 2
