"""What was read before a run, in its directory: ``observed.json`` (``cmscert.observed/1``). It holds no secrets.

People look there for what was bound; a roll back of the run takes the names from there. It is never taken for what is
on a server now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from cmscert.apply.disk import open_regular
from cmscert.apply.journal import OBSERVED_FILE
from cmscert.errors import Fault, InputError
from cmscert.files import parse_json
from cmscert.model.database import DatabaseState
from cmscert.model.observed import Binding, ObservedServer, ServiceState, StoredFile
from cmscert.model.readings import Known, Reading, Unread

FORMAT = "cmscert.observed/1"
LARGEST = 32 << 20
"""Bytes; a thousand servers take a tenth of that."""

Values = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBefore:
    """A service as its screen showed it. ``untold``: slots that the screen did not show."""

    enabled: bool | None
    bindings: Mapping[str, Binding]
    untold: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateBefore:
    """A certificate of a file as it was read: for people, who ask what it was. ``not_after``: ISO 8601."""

    subject: str
    serial: str
    not_after: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerBefore:
    """A server before a run. ``services``: those whose screens could be read.

    ``files``: names in its store, None where they could not be read. ``contents``: SHA-256 by name of the files that
    were read. ``certificates``: what these files held. ``served``: by slot, SHA-256 of the leaf that its port showed.
    """

    name: str
    release: str | None = None
    services: Mapping[str, ServiceBefore] = field(default_factory=dict)
    files: tuple[str, ...] | None = None
    contents: Mapping[str, str] = field(default_factory=dict)
    certificates: Mapping[str, tuple[CertificateBefore, ...]] = field(default_factory=dict)
    served: Mapping[str, str] = field(default_factory=dict)


def observed_document(fleet: str, observed: Mapping[str, ObservedServer]) -> dict[str, object]:
    """Write down what was read of every server, as JSON values; names and hashes, and facts of certificates."""
    return {
        "format": FORMAT,
        "fleet": fleet,
        "servers": {name: _server(observed[name]) for name in sorted(observed)},
    }


def _server(server: ObservedServer) -> dict[str, object]:
    screens = server.screens.items()
    return {
        "unread": server.reached.why if isinstance(server.reached, Unread) else None,
        "release": str(server.release.value) if isinstance(server.release, Known) else None,
        "services": {name: _service(screen.value) for name, screen in screens if isinstance(screen, Known)},
        "unread_services": {name: screen.why for name, screen in screens if isinstance(screen, Unread)},
        "files": list(server.files.value) if isinstance(server.files, Known) else None,
        "contents": {
            name: _file(reading.value) for name, reading in server.contents.items() if isinstance(reading, Known)
        },
        "served": {
            slot: reading.value[0].sha256
            for slot, reading in server.served.items()
            if isinstance(reading, Known) and reading.value
        },
        "database": _database(server.database),
    }


def _service(state: ServiceState) -> dict[str, object]:
    return {
        "enabled": state.enabled,
        "bindings": {
            slot: {"key": bound.key, "certificate": bound.certificate, "bundle": bound.bundle, "tag": bound.tag}
            for slot, bound in state.bindings.items()
        },
        "untold": list(state.untold),
    }


def _file(stored: StoredFile) -> dict[str, object]:
    return {
        "sha256": stored.sha256,
        "certificates": [
            {
                "subject": each.subject,
                "serial": f"{each.serial:x}",
                "not_after": each.not_after.isoformat(),
                "sha256": each.sha256,
            }
            for each in stored.certificates
        ],
    }


def _database(reading: Reading[DatabaseState]) -> dict[str, object] | None:
    if not isinstance(reading, Known):
        return None
    state = reading.value
    return {
        "status": state.status,
        "standing": state.standing,
        "interface": state.interface,
        "members": [{"address": each.address, "me": each.me, "text": each.text} for each in state.members],
        "files": list(state.files.names),
    }


def read_observed(run: Path) -> Mapping[str, ServerBefore]:
    """Read what the directory of a run says about the servers before it. Raises InputError."""
    path = run / OBSERVED_FILE
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST + 1)
        servers = _servers(content)
        return {name: _server_before(name, _mapping(each)) for name, each in servers.items()}
    except OSError as error:
        raise _fault(path, (error.strerror or str(error)).lower()) from error
    except KeyError as error:
        raise _fault(path, f"it is damaged: {error.args[0]} is missing") from error
    except (ValueError, RecursionError) as error:
        raise _fault(path, f"it is damaged: {error}") from error


class _BentError(ValueError):
    """A value is not of the kind that stands there."""


def _servers(content: bytes) -> Values:
    if len(content) > LARGEST:
        raise _BentError("it is larger than any of its kind")
    document = _mapping(parse_json(content))
    if document.get("format") != FORMAT:
        raise _BentError(f"its format is not {FORMAT}")
    return _mapping(document["servers"])


def _server_before(name: str, values: Values) -> ServerBefore:
    files = values["files"]
    return ServerBefore(
        name=name,
        release=_text_or_none(values["release"]),
        services={each: _service_before(_mapping(found)) for each, found in _mapping(values["services"]).items()},
        files=None if files is None else _texts(files),
        contents={each: _text(_mapping(found)["sha256"]) for each, found in _mapping(values["contents"]).items()},
        certificates={each: _certificates(_mapping(found)) for each, found in _mapping(values["contents"]).items()},
        served={slot: _text(leaf) for slot, leaf in _mapping(values["served"]).items()},
    )


def _certificates(values: Values) -> tuple[CertificateBefore, ...]:
    found = values["certificates"]
    if not isinstance(found, list):
        raise _BentError("a list is missing")
    names = ("subject", "serial", "not_after", "sha256")
    return tuple(CertificateBefore(**{name: _text(_mapping(each)[name]) for name in names}) for each in found)


def _service_before(values: Values) -> ServiceBefore:
    enabled = values["enabled"]
    if enabled is not None and not isinstance(enabled, bool):
        raise _BentError("enabled is neither yes nor no")
    return ServiceBefore(
        enabled=enabled,
        bindings={slot: _binding(slot, _mapping(found)) for slot, found in _mapping(values["bindings"]).items()},
        untold=_texts(values["untold"]),
    )


def _binding(slot: str, values: Values) -> Binding:
    names = {key: _text_or_none(values[key]) for key in ("key", "certificate", "bundle", "tag")}
    return Binding(slot=slot, **names)


def _mapping(value: object) -> Values:
    if not isinstance(value, dict):
        raise _BentError("an object is missing")
    return cast("Values", value)


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _BentError("a list is missing")
    return tuple(_text(each) for each in value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _BentError("a text is missing")
    return value


def _text_or_none(value: object) -> str | None:
    return None if value is None else _text(value)


def _fault(path: Path, message: str) -> InputError:
    return InputError([Fault(file=str(path), message=message, reason="journal")])
