"""Commands of the services: bare status, set commands, enable, disable, restart (facts section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from cmscert.lab.answers import Outcome, usage
from cmscert.lab.checks import Checks, Line
from cmscert.lab.screens import Screen, draw, tls
from cmscert.lab.spec import SlotSpec
from cmscert.lab.state import Listening, Machine, ServiceState, slots_of
from cmscert.lab.table import SlotRow

_NONE: Final = "none"
_LAST_PORT: Final = 65535
_SIP_WORDS: Final = 3

# Words after the service's name, and the labels of the rows that they set. Facts 4.1 to 4.14.
_SETTINGS: Final[dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]]] = {
    "webadmin": ((("http-redirect",), ("HTTP redirect",)),),
    "callbridge": (
        (("ucm", "verify"), ("UCM verification mode",)),
        (("imps", "verify"), ("IMPS verification mode",)),
        (("prefer",), ("Preferred interface",)),
        (("wc3jwt", "expiry"), ("WC3 JWT Expiry in hours",)),
        (("av1",), ("AV1 Video Codec",)),
    ),
    "webbridge": ((("http-redirect",), ("HTTP redirect",)),),
    "webbridge3": (
        (("http-redirect",), ("HTTP redirect",)),
        (("https", "frame-ancestors"), ("HTTPS Frame-Ancestors",)),
        (("meetingapps", "add"), ("Meetingapps address", "Meetingapps port", "Meetingapps secret")),
    ),
    "turn": (
        (("credentials",), ("Username", "Password", "Realm")),
        (("public-ip",), ("Public IP",)),
    ),
    "recorder": (
        (("nfs",), ("NFS",)),
        (("resolution",), ("Resolution",)),
        (("limit",), ("Call Limit",)),
    ),
    "streamer": (
        (("sip", "resolution"), ("SIP Resolution",)),
        (("limit",), ("Call Limit",)),
    ),
    "uploader": (
        (("nfs",), ("NFS",)),
        (("cms", "host"), ("CMS host",)),
        (("cms", "port"), ("CMS port",)),
        (("cms", "user"), ("CMS user",)),
        (("rev", "host"), ("Vbrick Rev hostname",)),
        (("rev", "port"), ("Vbrick Rev port",)),
        (("rev", "user"), ("Vbrick Rev username",)),
    ),
    "xmpp": ((("domain",), ("Domain",)),),
    "tls": (
        (("sip", "verify"), ("sip verify",)),
        (("sip", "min-tls-version"), ("sip min TLS version",)),
        (("ldap", "verify"), ("ldap verify",)),
        (("ldap", "min-tls-version"), ("ldap min TLS version",)),
    ),
}
_SWITCHED: Final = {"enable": ("Enabled", "enabled"), "disable": ("Disabled", "disabled")}
_CAPITAL: Final = frozenset({"HTTP redirect"})  # T-30, T-33; the verification modes are in small letters (T-31)


def run(machine: Machine, words: Sequence[str]) -> Outcome:
    """Answer a command that starts with the name of a service of the node's release."""
    service = machine.services[words[0]]
    rest = tuple(words[1:])
    if rest in _screens_of(service.row.name):
        return Outcome(lines=_screen(machine, service, rest))
    if rest[:1] in {("enable",), ("disable",), ("restart",)}:
        return _switch(machine, service, rest)
    for step in (_bind, _listen, _set):
        outcome = step(machine, service, rest)
        if outcome is not None:
            return _quiet(machine, outcome)
    return usage(service.row.name, "...")


def _screens_of(name: str) -> set[tuple[str, ...]]:
    more: dict[str, set[tuple[str, ...]]] = {
        "tls": {("sip",), ("ldap",)},
        "xmpp": {("cluster", "status")},
        "loadbalancer": {("list",)},
        "trunk": {("list",)},
    }
    return {(), ("status",), *more.get(name, ())}


def _screen(machine: Machine, service: ServiceState, rest: tuple[str, ...]) -> list[str]:
    screen = Screen(service, machine.release, machine.spec.switches)
    if rest in {("sip",), ("ldap",)}:
        return tls(screen, rest[0])
    if rest == ("cluster", "status"):  # T-40; that the trust bundle is told there is [MEM]
        return ["State: LEADER", f"Trust bundle: {service.files('xmpp/trust-cluster').bundle or _NONE}"]
    return draw(screen)


def _quiet(machine: Machine, outcome: Outcome) -> Outcome:
    if machine.spec.switches.set_replies and not outcome.lines:
        return Outcome(lines=("Configuration updated",), effect=outcome.effect)
    return outcome


def _switch(machine: Machine, service: ServiceState, rest: tuple[str, ...]) -> Outcome:
    row = service.row
    tagged = any(slot.tagged for slot in row.slots)
    if len(rest) > 1 + tagged:
        return usage(row.name, rest[0])
    if row.via == "parameters" or (row.via == "restart" and rest[0] != "restart"):
        return usage(row.name, "...")  # 4.2: there is nothing to enable; [S3] lists `callbridge enable` all the same
    if rest[0] == "disable":
        return _quiet(machine, Outcome(effect=lambda: _disable(machine, service)))
    if rest[0] == "restart" and row.via == "cycle" and not service.enabled:
        return Outcome(lines=(str(Line(good=False, text=f"{row.enabled_as} is not enabled")),))
    return _start(machine, service, verb=rest[0])


def _disable(machine: Machine, service: ServiceState) -> None:
    service.enabled = False
    machine.take_down(service.row.name)


def _start(machine: Machine, service: ServiceState, *, verb: str) -> Outcome:
    checks = Checks(files=machine.files, release=machine.release, switches=machine.spec.switches, at=machine.clock())
    lines = checks.service(service)
    row = service.row
    good = all(line.good for line in lines)
    if not good:
        lines.append(Line(good=False, text=f"{row.enabled_as} configuration not complete"))  # T-22
    elif row.via == "cycle" and not (row.name == "webadmin" and machine.spec.switches.enable_wording == "remembered"):
        lines.append(Line(good=True, text=f"{row.enabled_as} enabled"))

    def effect() -> None:
        if good:
            service.enabled = True
            machine.bring_up(row.name)
            return
        service.enabled = service.enabled and verb == "restart"
        machine.take_down(row.name)

    return Outcome(lines=tuple(map(str, lines)), effect=effect)


def _bind(machine: Machine, service: ServiceState, rest: tuple[str, ...]) -> Outcome | None:
    for slot in slots_of(service.row, machine.release):
        if rest[: len(slot.words)] == slot.words:
            return _bind_slot(machine, service, slot, rest[len(slot.words) :])
    return None


def _bind_slot(machine: Machine, service: ServiceState, slot: SlotRow, names: tuple[str, ...]) -> Outcome:
    tag = names[0] if slot.tagged and names else None
    files = _files(slot, names[1:] if slot.tagged else names, tag)
    if files is None:
        return usage(service.row.name, *slot.words, "...")
    if service.enabled and service.row.via == "cycle" and not machine.spec.switches.change_while_enabled:
        return Outcome(lines=(str(Line(good=False, text=f"{service.row.enabled_as} is enabled")),))

    def effect() -> None:
        service.slots[slot.name] = files

    return Outcome(effect=effect)


def _files(slot: SlotRow, names: tuple[str, ...], tag: str | None) -> SlotSpec | None:
    if names == (_NONE,):
        return SlotSpec(tag=tag)
    match slot.kind, names:
        case "trust", (bundle,):
            return SlotSpec(bundle=bundle)
        case "identity", (key, certificate):
            return SlotSpec(key=key, certificate=certificate, tag=tag)
        case "identity", (key, certificate, bundle) if slot.third:
            return SlotSpec(key=key, certificate=certificate, bundle=bundle, tag=tag)
    return None


def _listen(machine: Machine, service: ServiceState, rest: tuple[str, ...]) -> Outcome | None:
    if service.row.name == "turn" and rest[:1] == ("listen",):
        return Outcome(effect=lambda: setattr(service.listening["turn"], "interfaces", rest[1:]))
    for slot in slots_of(service.row, machine.release):
        if slot.listen is not None and rest[: len(slot.listen)] == slot.listen:
            effect = _place(service, service.listening[slot.name], rest[len(slot.listen) :])
            return usage(service.row.name, *slot.listen, "...") if effect is None else Outcome(effect=effect)
    return None


def _place(service: ServiceState, listening: Listening, words: tuple[str, ...]) -> Callable[[], None] | None:
    """Read what follows a listen command; None when it makes no sense."""
    read = _read_place(service.row.name, listening, words)
    if read is None:
        return None
    interfaces, port = read

    def effect() -> None:
        listening.interfaces = interfaces
        listening.port = None if port < 0 else port
        if len(words) == _SIP_WORDS:
            service.settings["tcp"] = _NONE if words[1] == _NONE else f"{words[0]}:{words[1]}"

    return effect


def _read_place(name: str, listening: Listening, words: tuple[str, ...]) -> tuple[tuple[str, ...], int] | None:
    """Return interfaces and port (negative for none). Interfaces with different ports are more than the lab can do."""
    interfaces: tuple[str, ...]
    match words:
        case ("none",):
            interfaces, ports = listening.interfaces, {_NONE}
        case (number,) if name == "turn":
            interfaces, ports = listening.interfaces, {number}
        case (interface,) if name in {"callbridge", "xmpp"} and ":" not in interface:
            interfaces, ports = (interface,), {str(listening.port or 0)}  # the screen tells interfaces only (T-31)
        case (interface, tcp, number) if name in {"recorder", "streamer"} and _port(tcp) is not None:
            interfaces, ports = (interface,), {number}  # T-22
        case (interface, number) if ":" not in interface + number:
            interfaces, ports = (interface,), {number}
        case _:
            pairs = [word.partition(":") for word in words]
            interfaces, ports = tuple(pair[0] for pair in pairs), {pair[2] for pair in pairs}
    port = _port(ports.pop()) if len(ports) == 1 else None
    return None if port is None else (interfaces, port)


def _port(word: str) -> int | None:
    """Return a port, -1 for none, None for what is neither."""
    if word == _NONE:
        return -1
    return int(word) if word.isdecimal() and int(word) <= _LAST_PORT else None


def _set(_machine: Machine, service: ServiceState, rest: tuple[str, ...]) -> Outcome | None:
    for words, labels in _SETTINGS.get(service.row.name, ()):
        values = rest[len(words) :]
        if rest[: len(words)] == words and len(values) == len(labels):
            rows = _values(labels, values)
            return Outcome(effect=partial(service.settings.update, rows))
    return None


def _values(labels: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str]:
    if labels == ("NFS",):
        host, _, folder = values[0].partition(":")
        return {"NFS hostname": host, "NFS domain name": host, "NFS directory": folder}
    return {
        label: _SWITCHED.get(value, (value, value))[0 if label in _CAPITAL else 1]
        for label, value in zip(labels, values, strict=True)
    }
