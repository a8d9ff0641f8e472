"""How to log in: the inventory's ``ssh``, with what a server says differently."""

from __future__ import annotations

from pathlib import Path

from cmscert.inventory.checking import Checking
from cmscert.inventory.forms import ServerForm, SshForm, TimeoutForm
from cmscert.inventory.outline import Keys
from cmscert.model.login import Login, Timeouts

_WAYS = ("password", "key", "key_passphrase", "agent")


def login_of(checking: Checking, name: str, server: ServerForm) -> Login:
    """Return how to log in to a server, and note what is missing or contradictory."""
    own, top = server.ssh or SshForm(), checking.form.ssh
    chosen = own if own.password or own.key or own.agent else top
    where: Keys = ("servers", name, "ssh") if server.ssh is not None else ("ssh",)
    user, known_hosts = own.user or top.user, own.known_hosts or top.known_hosts
    if user is None:
        checking.add(where, "the key user is missing", reason="missing-key", key=True)
    if known_hosts is None:
        message = "the key known_hosts is missing: host keys are always checked"
        checking.add(where, message, reason="missing-key", key=True)
    if not (chosen.password or chosen.key or chosen.agent):
        checking.add(where, "no way to log in: give password, key or agent: true", reason="missing-key", key=True)
    passphrase = own.key_passphrase or chosen.key_passphrase
    ways: Keys = where if chosen is own else ("ssh",)
    if known_hosts is not None:
        checking.link((*(where if own.known_hosts else ("ssh",)), "known_hosts"), known_hosts)
    return Login(
        server=name,
        address=server.address,
        user=user or "",
        known_hosts=str(checking.border.folder / _home(known_hosts or "")),
        port=own.port or top.port or 22,
        password=checking.secret((*ways, "password"), chosen.password),
        key=checking.secret((*ways, "key"), chosen.key),
        key_passphrase=checking.secret((*ways, "key_passphrase"), passphrase) if chosen.key else None,
        agent=bool(chosen.agent),
        legacy=bool(top.legacy if own.legacy is None else own.legacy),
        timeouts=_timeouts(top.timeout, own.timeout),
    )


def check_ways(checking: Checking) -> None:
    """Note where a password and a key are both given: which of them to offer is not ours to guess."""
    places: list[tuple[Keys, SshForm]] = [(("ssh",), checking.form.ssh)]
    places += [
        (("servers", name, "ssh"), server.ssh)
        for name, server in checking.form.servers.items()
        if server.ssh is not None
    ]
    for keys, form in places:
        if form.password is not None and form.key is not None:
            checking.add(keys, "has a password and a key: say one of them", reason="login", key=True)
        if form.key_passphrase is not None and form.key is None and checking.form.ssh.key is None:
            checking.add((*keys, "key_passphrase"), "there is no key that this could open", reason="login")


def _home(written: str) -> str:
    try:
        return str(Path(written).expanduser())
    except RuntimeError:  # a user without a home: the file will be missed under its written name
        return written


def _timeouts(top: TimeoutForm | None, own: TimeoutForm | None) -> Timeouts:
    said = [form.model_dump(exclude_unset=True) for form in (top, own) if form is not None]
    return Timeouts(**{name: value for form in said for name, value in form.items()})
