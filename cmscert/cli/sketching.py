"""From an inventory to the lab and back: the fleet in the lab's words, and an inventory that reaches it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import yaml

from cmscert.errors import LabError
from cmscert.inventory.outline import (
    CertificateOutline,
    DatabaseOutline,
    LocalCaIssuer,
    Outline,
    ServerOutline,
    SlotOutline,
)
from cmscert.lab.sketch import (
    AuthoritySketch,
    BundleSketch,
    CertificateSketch,
    DatabaseSketch,
    ServerSketch,
    Sketch,
    SlotSketch,
    Usage,
)
from cmscert.model.names import service_of

if TYPE_CHECKING:
    _Loader = yaml.SafeLoader
else:
    _Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# "Which file a slot gets": these always take leaf, intermediates and root in one file.
FULL_CHAIN: Final = frozenset({"webbridge3", "scheduler", "meetingapps"})
HEADER: Final = """\
# Written by `cmscert lab up`: the fleet of your inventory, simulated on this machine.
# The addresses and ports are those of the lab; everything else is as you wrote it. Written anew at every start.
"""
_TEXT_TAGS: Final = ("bool", "float", "int", "timestamp")


def sketch_of(outline: Outline) -> Sketch:
    """Describe a checked inventory to the lab. Paths that leave the inventory's folder are refused there, not here."""
    usages = _usages(outline)
    return Sketch(
        bundles=tuple(
            BundleSketch(name=bundle.name, paths=tuple(_relative(path, outline.folder) for path in bundle.paths))
            for bundle in outline.bundles.values()
        ),
        authorities=tuple(_authorities(outline)),
        certificates=tuple(
            _certificate(certificate, outline.folder, usages.get(certificate.name, "service"))
            for certificate in outline.certificates.values()
        ),
        servers=tuple(_server(server) for server in outline.servers),
        slots=tuple(_slot(outline, server, slot) for server in outline.servers for slot in server.slots),
        databases=tuple(_database(database) for database in outline.databases),
        known_hosts=tuple(dict.fromkeys(_known_hosts(outline))),
    )


def rewrite_inventory(
    text: str, servers: Mapping[str, tuple[str, int]], call_bridges: Mapping[str, int] | None = None
) -> str:
    """Point an inventory at the lab: ``servers`` gives each server's address and SSH port there.

    ``call_bridges``: TLS ports of call bridges by server, as no status screen tells them (T-31). The address that the
    inventory gives stays as ``database_address``. Other addresses and ports to probe are left out, as the lab's own
    stand on its status screens. A ``known_hosts`` outside of the folder becomes one in it, so that no
    host key of the lab gets among real ones. Raises LabError for a server without an address in the lab.
    """
    document = yaml.load(text, _TextLoader)  # noqa: S506 - a SafeLoader that leaves numbers and dates as they are written
    if not isinstance(document, dict):
        raise LabError("the inventory is not a mapping", hint="run `cmscert validate` on it first")
    document = _known_hosts_inside(document)
    document["roles"] = {name: _not_probed(services) for name, services in (document.get("roles") or {}).items()}
    document["servers"] = {
        name: _on_loopback(str(name), server, servers) for name, server in (document.get("servers") or {}).items()
    }
    for name, port in (call_bridges or {}).items():
        _probe_call_bridge(document["servers"][name], document["roles"], port)
    dumped: str = yaml.dump(document, Dumper=_TextDumper, sort_keys=False, allow_unicode=True, width=120)
    return HEADER + dumped


class _AsWritten(str):
    """A plain scalar that YAML would take for a number, a date or a truth value: ``3.10`` has to stay ``3.10``."""

    __slots__ = ()


class _TextLoader(_Loader):
    pass


class _TextDumper(yaml.SafeDumper):
    def ignore_aliases(self, _: object) -> bool:
        """Write every value where it stands: servers that shared one differ now."""
        return True


def _read_as_written(_: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return _AsWritten(node.value)


def _write_as_written(dumper: yaml.SafeDumper, value: _AsWritten) -> yaml.ScalarNode:
    tag: str = dumper.resolve(yaml.ScalarNode, str(value), (True, False))  # type: ignore[no-untyped-call]  # stubs
    return dumper.represent_scalar(tag, str(value))


for _tag in _TEXT_TAGS:
    _TextLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _read_as_written)
_TextDumper.add_representer(_AsWritten, _write_as_written)


def _on_loopback(name: str, server: Mapping[str, Any], servers: Mapping[str, tuple[str, int]]) -> dict[str, Any]:
    if name not in servers:
        raise LabError(
            f"{name} is not simulated, so the inventory cannot point at it", hint="start the lab with all servers"
        )
    address, port = servers[name]
    rewritten = _known_hosts_inside(server)
    rewritten.setdefault("database_address", server.get("address"))
    if "services" in server:
        rewritten["services"] = _not_probed(server["services"])
    return rewritten | {"address": address, "ssh": {**(rewritten.get("ssh") or {}), "port": port}}


def _probe_call_bridge(server: dict[str, Any], roles: Mapping[str, Any], port: int) -> None:
    """Say the port in the server's own entry, which wins over its roles as a whole."""
    services = server.setdefault("services", {})
    inherited = (roles[role].get("callbridge") for role in server.get("roles") or ())
    form = services.get("callbridge") or next(filter(None, inherited), None)
    if form is not None:
        services["callbridge"] = {**(form if isinstance(form, dict) else {"certificate": form}), "port": port}


def _known_hosts_inside(holder: Mapping[str, Any]) -> dict[str, Any]:
    ssh = holder.get("ssh") or {}
    path = PurePosixPath(str(ssh.get("known_hosts", "")))
    if path.is_absolute() or ".." in path.parts or str(path).startswith("~"):
        return {**holder, "ssh": {**ssh, "known_hosts": "known_hosts"}}
    return dict(holder)


def _not_probed(services: object) -> object:
    if not isinstance(services, dict):
        return services
    return {key: _not_probed(value) for key, value in services.items() if key not in ("address", "port")}


def _relative(path: Path, folder: Path) -> str:
    return (path.relative_to(folder) if path.is_relative_to(folder) else path.absolute()).as_posix()


def _usages(outline: Outline) -> dict[str, Usage]:
    usages: dict[str, Usage] = {}
    for database in outline.databases:
        usages |= {database.server: "database-server", database.client: "database-client"}
    return usages


def _authorities(outline: Outline) -> Iterator[AuthoritySketch]:
    for issuer in outline.issuers.values():
        if isinstance(issuer, LocalCaIssuer):
            path = _relative(issuer.certificate, outline.folder)
            beside = str(PurePosixPath(path).with_suffix(".key"))
            named = str(Path(issuer.key.value[0]).expanduser()) if issuer.key.kind == "file" else beside
            yield AuthoritySketch(certificate_path=path, key_path=named)


def _certificate(certificate: CertificateOutline, folder: Path, usage: Usage) -> CertificateSketch:
    key = certificate.key_path
    if certificate.adopted and certificate.certificate_path is not None:
        key = certificate.certificate_path.with_suffix(".key")  # somewhere the lab must keep what its servers have
    paths = (certificate.certificate_path, key)
    certificate_path, key_path = (None if path is None else _relative(path, folder) for path in paths)
    return CertificateSketch(
        name=certificate.name,
        server=certificate.server,
        common_name=certificate.common_name,
        sans=certificate.sans,
        bundle=certificate.chain,
        certificate_path=certificate_path,
        key_path=key_path,
        usage=usage,
        key_type=certificate.key_type or "rsa",
        key_bits=certificate.key_bits,
    )


def _server(server: ServerOutline) -> ServerSketch:
    release = {} if server.release is None else {"release": str(server.release)}
    return ServerSketch(
        name=server.name,
        address=server.address,
        fqdn=server.fqdn,
        user=server.login.user,
        database_address=server.database_address,
        **release,
    )


def _database(database: DatabaseOutline) -> DatabaseSketch:
    return DatabaseSketch(
        name=database.name,
        nodes=database.nodes,
        clients=database.clients,
        primary=database.primary,
        interface=database.interface,
        server=database.server,
        client=database.client,
        ca=database.ca,
    )


def _slot(outline: Outline, server: ServerOutline, slot: SlotOutline) -> SlotSketch:
    leaf = None if slot.certificate is None else outline.certificate(slot.certificate, server.name)
    return SlotSketch(
        server=server.name,
        slot=slot.slot,
        certificate=None if leaf is None else (leaf.name, leaf.server),
        full_chain=leaf is not None and (slot.bundle is None or service_of(slot.slot) in FULL_CHAIN),
        bundle=slot.bundle,
        trust=slot.trust,
        leaves_of=slot.leaves_of,
        tag=slot.tag,
    )


def _known_hosts(outline: Outline) -> Iterator[str]:
    for server in outline.servers:
        path = Path(server.login.known_hosts)
        if path.is_relative_to(outline.folder) and ".." not in path.relative_to(outline.folder).parts:
            yield path.relative_to(outline.folder).as_posix()
