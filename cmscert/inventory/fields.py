"""The texts and numbers of an inventory: their rules, and what editors are told about them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, Tag, WithJsonSchema
from pydantic_core import PydanticCustomError

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_HOST = 253
_MAX_SHARE = 20
_MAX_PORT = 65535
_PLACE = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[^:]+))(?::(?P<port>\d{1,5}))?")
_EMAIL = re.compile(rf"[^@\s,]+@{_HOST.pattern}")


def rule(pattern: str, message: str) -> tuple[AfterValidator, Any]:
    """Make a text rule: the whole text has to match, and editors get the same pattern."""
    expression = re.compile(pattern)

    def check(text: str) -> str:
        if expression.fullmatch(text) is None:
            raise PydanticCustomError("text_rule", "{message}", {"message": message})
        return text

    return AfterValidator(check), Field(json_schema_extra={"pattern": f"^(?:{pattern})$"})


_SERVER = rule(
    r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    "use letters, digits, hyphens, dots and underscores, at most 64, a letter or digit first",
)
_NAME = rule(
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
    "use letters, digits, hyphens and underscores, at most 64, a letter or digit first",
)
# Names on a node are at most 64 long, with -YYYYMMDD-12345678.crt or -12345678.crt added (contract).
_CERTIFICATE = rule(
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,41}",
    "use letters, digits, hyphens and underscores, at most 42, a letter or digit first",
)
_BUNDLE = rule(
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,50}",
    "use letters, digits, hyphens and underscores, at most 51, a letter or digit first",
)
_PRINTABLE = rule(
    r"(?=.*\S)[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,4096}",
    "use at least one character, at most 4096, and no control characters",
)
_ADDRESS = rule(
    r"[A-Za-z0-9_][A-Za-z0-9._-]{0,252}|(?=[^:]*:[^:]*:)[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9._-]{1,15})?",
    "use a host name or an IP address, without a port",
)
_FQDN = rule(rf"(?=.{{1,253}}$){_HOST.pattern}", "use a full host name")
_RELEASE = rule(r"\d{1,2}\.\d{1,2}(?:\.\d{1,4}){0,3}", 'use a release like "3.9"')
_INTERFACE = rule(r"[a-e]", "use the letter of an interface, a to e")
_VARIABLE = rule(r"[A-Za-z_][A-Za-z0-9_]*", "use the name of an environment variable")
_COUNTRY = rule(r"[A-Za-z]{2}", "use the two letters of ISO 3166")
_BASENAME = rule(r"[A-Za-z0-9_-]{1,60}", "use letters, digits, hyphens and underscores")


def name_server(text: str) -> tuple[str, int]:
    """Read ``ADDRESS``, ``ADDRESS:PORT`` or ``[ADDRESS]:PORT``; raises ValueError. The port of DNS is 53."""
    found = _PLACE.fullmatch(text)
    address, port = (found["v6"] or found["v4"], int(found["port"] or "53")) if found else (text, 53)
    if not 0 < port <= _MAX_PORT:
        raise ValueError(text)
    return str(ipaddress.ip_address(address)), port


def _resolver(text: str) -> str:
    try:
        name_server(text)
    except ValueError:
        message = "use the IP address of a name server, with :PORT behind where it is not 53"
        raise PydanticCustomError("text_rule", "{message}", {"message": message}) from None
    return text


ServerName = Annotated[str, *_SERVER]
Name = Annotated[str, *_NAME]
CertificateName = Annotated[str, *_CERTIFICATE]
BundleName = Annotated[str, *_BUNDLE]
Text = Annotated[str, *_PRINTABLE]
PathText = Annotated[str, *_PRINTABLE]
Address = Annotated[str, *_ADDRESS]
Fqdn = Annotated[str, *_FQDN]
ReleaseText = Annotated[str, *_RELEASE]
Interface = Annotated[str, *_INTERFACE]
Variable = Annotated[str, *_VARIABLE]
Country = Annotated[str, *_COUNTRY]
Basename = Annotated[str, *_BASENAME]
Resolver = Annotated[str, AfterValidator(_resolver)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


def _fraction(value: object) -> Fraction:
    try:
        share = Fraction(value if isinstance(value, str) and len(value) <= _MAX_SHARE else "x")
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share < 1:
        raise PydanticCustomError("share", "use a share between 0 and 1, such as 1/3 or 0.25")
    return share


def _day(value: object) -> str:
    try:
        return date.fromisoformat(value if isinstance(value, str) else "").isoformat()
    except ValueError:
        raise PydanticCustomError("day", "use a day like 2027-03-31") from None


def _schema(**words: object) -> WithJsonSchema:
    return WithJsonSchema(dict(words))


Share = Annotated[
    Fraction,
    PlainValidator(_fraction),
    _schema(
        anyOf=[
            {"type": "string", "pattern": r"^\d+/\d+$"},
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        ]
    ),
]
Day = Annotated[str, PlainValidator(_day), _schema(type="string", format="date")]


BRANCH = "\0"
"""Begins the names of branches of a choice in pydantic's locations; no key of a document holds it."""


def branch(word: str) -> Tag:
    """Name a branch of a choice."""
    return Tag(BRANCH + word)


def tag_by(choose: Callable[[object], str | None]) -> Callable[[Any], str | None]:
    """Make a discriminator of a function that returns the word of a branch."""

    def tag(value: object) -> str | None:
        word = choose(value)
        return None if word is None else BRANCH + word

    return tag


def kind_of(value: object, *, text: str | None = None, list_: str | None = None, mapping: str) -> str | None:
    """Return the word for what a value is; None when it is neither."""
    if isinstance(value, str):
        return text
    return mapping if isinstance(value, dict) else list_ if isinstance(value, list) else None


def is_host(text: str) -> bool:
    """Tell whether a text is a DNS name."""
    return len(text) <= _MAX_HOST and _HOST.fullmatch(text) is not None


def is_san(text: str) -> bool:
    """Tell whether a text can stand in a SAN: DNS name (``*.`` in front allowed), IP address or e-mail address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return is_host(text.removeprefix("*.")) or _EMAIL.fullmatch(text) is not None
    return True
