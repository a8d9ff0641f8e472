"""How an adopted inventory says where to log in, what it says about what was found, and its text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmscert.errors import NodeError
from cmscert.inventory.emit import emit
from cmscert.model.adoption import AdoptedServer, Adoption
from cmscert.model.login import Login, SecretRef
from cmscert.model.plan import Plan
from cmscert.planning.adopting.draft import Draft
from cmscert.planning.adopting.found import Node
from cmscert.planning.adopting.names import said

HEADER = (
    "Written by `cmscert adopt`: what the servers hold now.",
    "The private keys are on the servers and nowhere else, so `files` names none.",
)
SSH_PORT = 22
_SERVERS = ("servers",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Who logs in where."""

    user: str
    address: str
    port: int = SSH_PORT

    @property
    def place(self) -> str:
        """What messages call it while it has no name."""
        if self.port == SSH_PORT:
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptedLogin:
    """How to log in, the same on every server; secrets as references, for the inventory too."""

    password: SecretRef | None = None
    key: SecretRef | None = None
    key_passphrase: SecretRef | None = None
    agent: bool = False
    legacy: bool = False


def logins(targets: tuple[Target, ...], login: AdoptedLogin, *, known_hosts: str) -> dict[str, Login]:
    """Return how to log in to each server, by its place."""
    return {
        one.place: Login(
            server=one.place,
            address=one.address,
            user=one.user,
            known_hosts=known_hosts,
            port=one.port,
            password=login.password,
            key=login.key,
            key_passphrase=login.key_passphrase,
            agent=login.agent,
            legacy=login.legacy,
        )
        for one in targets
    }


def inventory_text(made: Draft, nodes: tuple[Node, ...], login: AdoptedLogin, failures: Mapping[str, NodeError]) -> str:
    """Return the whole inventory."""
    user = _common([node.user for node in nodes])
    ports = [node.port for node in nodes]
    port = _common(ports) if len(set(ports)) < max(len(ports), 2) else SSH_PORT
    ssh: dict[str, Any] = {"user": user, **_ways(login), "known_hosts": "known_hosts"}
    if port != SSH_PORT:
        ssh["port"] = port
    document = dict(made.document)
    document["servers"] = {
        name: form if not (own := _own_ssh(node, user, port)) else {**form, "ssh": own}
        for (name, form), node in zip(document["servers"].items(), nodes, strict=True)
    }
    order = {"version": 1, "fleet": document["fleet"], "ssh": ssh, **document}
    remarks = {**made.remarks}
    remarks[_SERVERS] = (*remarks.get(_SERVERS, ()), *map(_missed, failures.values()))
    return emit(order, {path: each for path, each in remarks.items() if each}, HEADER)


def _common(values: list[Any]) -> Any:  # noqa: ANN401 - what the list is of
    return Counter(values).most_common(1)[0][0]


def _own_ssh(node: Node, user: str, port: int) -> dict[str, Any]:
    return {
        **({"user": node.user} if node.user != user else {}),
        **({"port": node.port} if node.port != port else {}),
    }


def _ways(login: AdoptedLogin) -> dict[str, Any]:
    ways: dict[str, Any] = {}
    for name in ("password", "key", "key_passphrase"):
        ref: SecretRef | None = getattr(login, name)
        if ref is not None:
            ways[name] = {ref.kind: ref.value[0]}
    if login.agent:
        ways["agent"] = True
    if login.legacy:
        ways["legacy"] = True
    return ways


def _missed(error: NodeError) -> str:
    return f"could not be read, and is not here: {said(error.server)} ({said(error.message)})"


def finding_remarks(made: Draft, plan: Plan) -> dict[tuple[str, ...], tuple[str, ...]] | None:
    """Return the remarks with what was wrong when the fleet was adopted; None when nothing was."""
    remarks = dict(made.remarks)
    for drift in plan.drift:
        path = (*_SERVERS, drift.server)
        found = f"found: {drift.slot or 'server'}: {drift.reason} ({said(drift.found)})"
        remarks[path] = tuple(dict.fromkeys((*remarks.get(path, ()), found)))
    return remarks if plan.drift else None


def described(
    made: Draft, nodes: tuple[Node, ...], failures: Mapping[str, NodeError], *, folder: Path, fleet: str
) -> Adoption:
    """Say in numbers what was found, and in sentences what could not be known."""
    servers = made.document["servers"]
    return Adoption(
        fleet=fleet,
        folder=str(folder),
        inventory=str(folder / f"{fleet}.yaml"),
        servers=tuple(
            AdoptedServer(
                name=name,
                place=Target(user=node.user, address=node.address, port=node.port).place,
                fqdn=servers[name]["fqdn"],
                release=None if node.release is None else str(node.release),
                slots=made.slots[name],
                remarks=made.remarks.get((*_SERVERS, name), ()),
            )
            for name, node in zip(made.names, nodes, strict=True)
        ),
        certificates=len(made.document.get("certificates", ())),
        bundles=len(made.document.get("bundles", ())),
        databases=len(made.document.get("databases", ())),
        files=len(made.files),
        remarks=(*made.remarks.get(_SERVERS, ()), *map(_missed, failures.values())),
    )
