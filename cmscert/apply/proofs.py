"""What runs left on the servers of a fleet, slot by slot: ``<state dir>/proofs/<fleet>.json`` (``cmscert.proofs/1``).

It is written when a run is over, and names the runs that it knows. A run that it does not know died, goes on now, or
was one of another release: nothing is told of the servers that it was to change. Digests only, no secrets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import cast

from cmscert.apply.disk import make_folders, replacing
from cmscert.apply.journal import JOURNAL_FILE, peek_journal
from cmscert.apply.runs import run_folders
from cmscert.errors import JournalError
from cmscert.files import Unreadable, parse_json, read_regular
from cmscert.model.origin import Content, Proof, Proofs, ServerProofs

FORMAT = "cmscert.proofs/1"
FOLDER = "proofs"
YEARS = range(1990, 9000)
"""A clock that tells another year would lead out of what ``datetime`` can convert."""

LARGEST = 32 << 20
"""Bytes; a thousand servers of ten slots take a tenth of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Proofs as they stand on disk. ``runs``: the runs of the state directory that they know."""

    proofs: Proofs
    runs: frozenset[str] = field(default_factory=frozenset)


def proofs_path(state_dir: Path, fleet: str) -> Path:
    """Return where the proofs of a fleet stand."""
    return state_dir / FOLDER / f"{fleet}.json"


def read_proofs(state_dir: Path, fleet: str) -> Kept:
    """Read the proofs of a fleet; never raises: what cannot be read is told as a fault."""
    path = proofs_path(state_dir, fleet)
    if not os.path.lexists(path):
        return Kept(proofs=Proofs())
    try:
        return _kept(read_regular(path, limit=LARGEST), fleet)
    except Unreadable as error:
        why = str(error)
    except (ValueError, LookupError, RecursionError):
        why = "is damaged"
    return Kept(proofs=Proofs(fault=f"{FOLDER}/{path.name} {why}"))


def unknown_runs(state_dir: Path, fleet: str, known: frozenset[str]) -> tuple[Path, ...]:
    """Return the folders of the runs on a fleet that proofs do not know. Raises InputError."""
    others = (folder for folder in run_folders(state_dir) if folder.name not in known)
    return tuple(each for each in others if peek_journal(each / JOURNAL_FILE).header.get("fleet") in {None, fleet})


def write_proofs(state_dir: Path, fleet: str, proofs: Proofs) -> None:
    """Write the proofs of a fleet; all runs that are there now are known then. Raises JournalError and InputError."""
    path = proofs_path(state_dir, fleet)
    document = {
        "format": FORMAT,
        "fleet": fleet,
        "runs": [folder.name for folder in run_folders(state_dir)],
        "servers": {name: _server(each) for name, each in sorted(proofs.servers.items())},
    }
    try:
        make_folders(state_dir, path.parent)
        with replacing(path) as file:
            file.write(json.dumps(document, ensure_ascii=True, sort_keys=True).encode() + b"\n")
    except OSError as error:
        raise JournalError(
            f"{path}: what the run left cannot be written: {error.strerror or error}",
            hint="make room: until the next apply, drift cannot tell who made a difference",
        ) from error


def with_open(proofs: Proofs, servers: Mapping[str, str]) -> Proofs:
    """Mark servers on which runs did not come to their end, by server; an empty name stands for every server."""
    everywhere = servers.get("")
    names = proofs.servers.keys() | (servers.keys() - {""})
    found = {name: proofs.servers.get(name) or ServerProofs() for name in names}
    return replace(
        proofs,
        servers={
            name: replace(each, open=servers.get(name) or everywhere or each.open) for name, each in found.items()
        },
    )


def _server(server: ServerProofs) -> dict[str, object]:
    return {
        "open": server.open,
        "named": None if server.named is None else sorted(server.named),
        "slots": {
            slot: {
                "at": proof.at.isoformat(),
                "run": proof.run,
                "wanted": proof.wanted,
                "file": proof.content.file,
                "bundle": proof.content.bundle,
            }
            for slot, proof in sorted(server.slots.items())
        },
    }


def _kept(content: bytes, fleet: str) -> Kept:
    document = _mapping(parse_json(content))
    if document["format"] != FORMAT or document["fleet"] != fleet:
        raise ValueError("it is another file")
    servers = {name: _server_proofs(_mapping(each)) for name, each in _mapping(document["servers"]).items()}
    return Kept(proofs=Proofs(servers=servers), runs=_texts(document["runs"]))


def _server_proofs(values: Mapping[str, object]) -> ServerProofs:
    named = values["named"]
    return ServerProofs(
        slots={slot: _proof(_mapping(each)) for slot, each in _mapping(values["slots"]).items()},
        named=None if named is None else _texts(named),
        open=_text(values["open"]),
    )


def _proof(values: Mapping[str, object]) -> Proof:
    at, wanted = datetime.fromisoformat(str(values["at"])), values["wanted"]
    if at.tzinfo is None or at.year not in YEARS or not isinstance(wanted, bool):
        raise ValueError("a proof is damaged")
    content = Content(file=_text(values["file"]), bundle=_text(values["bundle"]))
    return Proof(at=at, run=_text(values["run"]), wanted=wanted, content=content)


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError("an object is missing")  # noqa: TRY004 - what is read is a text of wrong content
    return cast("Mapping[str, object]", value)


def _texts(value: object) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError("a list of texts is missing")
    return frozenset(value)


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError("a text is missing")
    return value
