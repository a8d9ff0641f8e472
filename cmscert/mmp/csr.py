"""The rules of ``pki csr``: which requests a server would take, and what is typed for one.

Rules: [S17] (basename, mandatory CN, two-letter country), and the TechNote's own: a subject alternative name lists the
CN too, and a basename that is in use takes its service down at once. L and emailAddress are [MEM].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from cmscert.mmp.grammar import command, fault_of
from cmscert.model.commands import Command, Effect
from cmscert.pki.request import alternative_names

LONGEST_BASENAME: Final = 64
_LONGEST_CN: Final = 64  # the upper bound of X.520
_BASENAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_NAME: Final = re.compile(r"[^\s,]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A certificate request that is to be made on a server, with a new key.

    ``attributes``: (attribute, value) in the order in which they are typed: OU, O, L, ST, C, emailAddress.
    """

    basename: str
    common_name: str
    sans: tuple[str, ...] = ()
    organisational_unit: str | None = None
    organisation: str | None = None
    locality: str | None = None
    state: str | None = None
    country: str | None = None
    email: str | None = None

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """The attributes that are given, as (attribute, value)."""
        named = (
            ("CN", self.common_name),
            ("OU", self.organisational_unit),
            ("O", self.organisation),
            ("L", self.locality),
            ("ST", self.state),
            ("C", self.country),
            ("emailAddress", self.email),
        )
        return tuple((name, value) for name, value in named if value is not None)


def request_for(basename: str, *, common_name: str, sans: Collection[str], attributes: Mapping[str, str]) -> Request:
    """Return the request for what an inventory asks for; the SAN lists the common name ([S17]).

    ``attributes``: OU, O, L, ST, C and emailAddress, as far as they are given.
    """
    return Request(
        basename=basename,
        common_name=common_name,
        sans=alternative_names(common_name, sans),
        organisational_unit=attributes.get("OU"),
        organisation=attributes.get("O"),
        locality=attributes.get("L"),
        state=attributes.get("ST"),
        country=attributes.get("C"),
        email=attributes.get("emailAddress"),
    )


def basename_malformed(request: Request) -> str | None:
    """[S17]: alphanumeric, hyphen or underscore."""
    if not _BASENAME.fullmatch(request.basename):
        return "the basename takes letters, digits, hyphens and underscores only"
    if len(request.basename) > LONGEST_BASENAME:
        return f"the basename is longer than {LONGEST_BASENAME} characters"
    return None


def common_name_malformed(request: Request) -> str | None:
    """[S17]: CN is mandatory. That it is a host name is not checked by the server either (T-10)."""
    if not request.common_name:
        return "the common name is empty"
    if len(request.common_name) > _LONGEST_CN:
        return f"the common name is longer than {_LONGEST_CN} characters"
    return None


def country_malformed(request: Request) -> str | None:
    """[S17]: the two-letter ISO code."""
    if request.country is not None and not _COUNTRY.fullmatch(request.country):
        return "the country (C) is a code of two letters"
    return None


def san_malformed(request: Request) -> str | None:
    """Names are separated by commas, without blanks ([S17] [S20])."""
    if not all(_NAME.fullmatch(name) for name in request.sans):
        return "a subject alternative name is empty, or holds a blank or a comma"
    return None


def san_lacks_common_name(request: Request) -> str | None:
    """When subject alternative names are given, they list the CN too (the TechNote; XMPP clients insist on it)."""
    names = {name.lower() for name in request.sans}
    if names and request.common_name.lower() not in names:
        return "the subject alternative names do not list the common name"
    return None


def value_untypable(request: Request) -> str | None:
    """A value that could not be typed safely on the command line."""
    for attribute, value in (*request.attributes, *(("subjectAltName", name) for name in request.sans)):
        fault = fault_of(value)
        if fault is not None:
            return f"the value of {attribute} cannot be typed: {fault}"
    return None


RULES: Final[tuple[Callable[[Request], str | None], ...]] = (
    basename_malformed,
    common_name_malformed,
    country_malformed,
    san_malformed,
    san_lacks_common_name,
    value_untypable,
)


def basename_in_use(request: Request, files: Collection[str]) -> str | None:
    """A basename in use takes the service that uses it down at once (the TechNote warns)."""
    taken = [f"{request.basename}{ending}" for ending in (".key", ".csr") if f"{request.basename}{ending}" in files]
    return f"{' and '.join(taken)} would be overwritten: choose a new basename" if taken else None


def faults(request: Request, files: Collection[str] = ()) -> tuple[str, ...]:
    """Return everything that is wrong with a request, given the names in the server's store."""
    said = [rule(request) for rule in RULES]
    said.append(basename_in_use(request, files))
    return tuple(fault for fault in said if fault is not None)


def csr_command(request: Request, files: Collection[str] = ()) -> Command:
    """Return ``pki csr`` for a request. Raises ValueError that names everything that is wrong with it."""
    wrong = faults(request, files)
    if wrong:
        raise ValueError("; ".join(wrong))
    words = [f"{attribute}:{value}" for attribute, value in request.attributes]
    if request.sans:
        words.append(f"subjectAltName:{','.join(request.sans)}")
    return command("pki", "csr", request.basename, *words, effect=Effect.CHANGE)
