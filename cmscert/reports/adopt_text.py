"""What ``adopt`` found and wrote, in words and as ``cmscert.adopt/1``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cmscert.errors import NodeError
from cmscert.model.adoption import AdoptedServer, Adoption, ShownHostKey
from cmscert.reports.documents import made
from cmscert.reports.paper import Whole, draw, heading, indented, labelled, phrase, words
from cmscert.reports.plain import counted, safe
from cmscert.reports.plan_document import Document, drift_row, unread_rows
from cmscert.reports.summary import summarise

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

ADOPT_FORMAT = "cmscert.adopt/1"


def host_keys_text(shown: tuple[ShownHostKey, ...]) -> str:
    """List the host keys that somebody has to compare, one server a line."""
    new = [one for one in shown if not one.known]
    lines = [f"  {safe(one.server)}  {safe(one.kind)}  {safe(one.fingerprint)}" for one in new]
    head = "These host keys are new. Compare each with the one at the server's console before you say yes:"
    return "\n".join([head, *lines, ""])


def found_text(found: Adoption, *, width: int = 80, colour: bool = False) -> str:
    """Say what was read, before it is written."""
    parts: list[RenderableType | Whole] = [
        phrase(
            ("Fleet ", "plain"), (safe(found.fleet), "title"), (f" · {counted(len(found.servers), 'server')}", "plain")
        )
    ]
    for server in found.servers:
        parts += [heading(safe(server.name)), labelled(list(_server(server)), indent=2)]
    counts = [(found.certificates, "certificate"), (found.bundles, "bundle"), (found.databases, "database cluster")]
    parts.append(words(", ".join(counted(number, noun) for number, noun in counts)))
    parts += [words(f"! {safe(remark)}", "warning") for remark in found.remarks]
    return draw(*parts, width=width, colour=colour)


def adopted_text(adoption: Adoption, *, program: str, width: int = 80, colour: bool = False) -> str:
    """Say what was written, and what its plan says."""
    files = counted(adoption.files, "certificate file")
    parts: list[RenderableType | Whole] = [
        Whole(words(f"Written: {safe(adoption.inventory)}, known_hosts, and {files} in pki")),
    ]
    drift = () if adoption.plan is None else adoption.plan.drift
    if drift:
        parts.append(
            words("What is not as it should be on the servers now, and stays until it is put right:", "warning")
        )
        lines = (f"{each.server} {each.slot or 'server'}: {each.reason}: {safe(each.found)}" for each in drift)
        parts += [indented(words(line), 2) for line in dict.fromkeys(lines)]
    else:
        parts.append(words("Nothing differs: a plan of it has nothing to do", "good"))
    if adoption.plan is not None and adoption.plan.steps:
        parts.append(words("A plan of it has steps for that: look at them before you apply"))
    parts.append(Whole(words(f"Next: {program} plan {safe(adoption.inventory)}")))
    return draw(*parts, width=width, colour=colour)


def adopt_document(adoption: Adoption | None, failures: Mapping[str, NodeError]) -> Document:
    """Write down what was read and written; without an adoption nothing could be read."""
    servers = () if adoption is None else adoption.servers
    plan = None if adoption is None else adoption.plan
    return made(
        {
            "format": ADOPT_FORMAT,
            "fleet": None if adoption is None else adoption.fleet,
            "inventory": None if adoption is None else adoption.inventory,
            "servers": [
                {
                    "server": one.name,
                    "address": one.place,
                    "fqdn": one.fqdn,
                    "release": one.release,
                    "slots": one.slots,
                    "remarks": list(one.remarks),
                }
                for one in servers
            ],
            "remarks": [] if adoption is None else list(adoption.remarks),
            "drift": [] if plan is None else [drift_row(each) for each in plan.drift],
            "unread": unread_rows(tuple((name, error.message) for name, error in sorted(failures.items()))),
            "summary": {
                "certificates": 0 if adoption is None else adoption.certificates,
                "bundles": 0 if adoption is None else adoption.bundles,
                "databases": 0 if adoption is None else adoption.databases,
                "files": 0 if adoption is None else adoption.files,
                "steps": 0 if plan is None else summarise(plan).steps,
            },
        }
    )


def _server(server: AdoptedServer) -> Iterator[tuple[Text, Text]]:
    yield words("at"), words(f"{safe(server.place)}, {safe(server.fqdn)}")
    release = server.release or "unknown"
    yield words("release"), words(f"{release}, {counted(server.slots, 'slot')}")
    for remark in server.remarks:
        yield words("note", "warning"), words(safe(remark))
