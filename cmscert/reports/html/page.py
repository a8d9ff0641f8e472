"""One self-contained HTML file: jinja2 with autoescape, and a policy that lets a browser load and run nothing else.

What comes from servers is escaped twice over: ``plain.safe`` spells out control and bidirectional characters of every
text that a template puts in, autoescape then takes the meaning from what markup is made of. Should both fail, the
policy names the one script and the one style by their hashes.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cmscert import __version__
from cmscert.reports.plain import counted, day, duration, left, listed, moment, safe, stamp

PACKAGE = "cmscert.reports.html"
POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)


def render(template: str, /, **values: object) -> str:
    """Fill a template of this package; the same values give the same text."""
    script, style = _asset("report.js"), _asset("report.css")
    policy = POLICY.format(script=_hash(script), style=_hash(style))
    text = _environment().get_template(template).render(script=script, style=style, policy=policy, **values)
    return _dense(text) + "\n"


def lines_of(text: str) -> list[str]:
    """Cut an answer into its lines, without blanks at their ends and without empty ones."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        counted=counted, day=day, duration=duration, listed=listed, moment=moment, stamp=stamp, lines=lines_of
    )
    made.globals.update(left=left, version=__version__, clock=_clock)
    return made


def _harmless(value: object) -> object:
    return safe(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _clock(at: datetime) -> str:
    return at.strftime("%H:%M:%S")


@cache
def _asset(name: str) -> Markup:
    """Read a script or style: files of this package, so nothing is escaped in them.

    Dense, as the page will be: the hash is that of the very bytes in the page.
    """
    text = (files(PACKAGE) / "templates" / name).read_text(encoding="utf-8")
    return Markup(f"\n{_dense(text)}\n")  # noqa: S704 - our own file


def _dense(text: str) -> str:
    """Leave out empty lines and blanks at the end of others."""
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
