"""Database clusters of the inventory: members, references, and what no certificate of theirs may be (facts 5.6)."""

from __future__ import annotations

from collections.abc import Iterator

from cmscert.inventory.certificates import Certificates
from cmscert.inventory.checking import Checking
from cmscert.inventory.complaints import suggestion
from cmscert.inventory.forms import DatabaseForm
from cmscert.inventory.issuer_forms import CmsCaForm
from cmscert.inventory.outline import CmsCaIssuer, DatabaseOutline, Keys, Outline
from cmscert.model.desired import Minting, Unhandled

CLIENT_NAME = "postgres"
"""Common name of every client certificate ([S2], [S20]): PostgreSQL takes it for the name of the database's user."""

_ALL = 3
"""Server certificate, client certificate, and the bundle of their CA."""
_NOT_YET = "which this release does not do yet"


def databases(checking: Checking, certificates: Certificates) -> tuple[DatabaseOutline, ...]:
    """Return the outline of every cluster, and note what is wrong."""
    seen: dict[str, str] = {}
    found: list[DatabaseOutline] = []
    for name, form in checking.form.databases.items():
        _members(checking, name, form, seen)
        _references(checking, certificates, name, form)
        found.append(DatabaseOutline(name=name, **form.model_dump()))
    return tuple(found)


def minting(outline: Outline, database: DatabaseOutline) -> Minting | None:
    """Return how the CA built into CMS makes all material of a cluster; None when it does not make all of it."""
    issuers = [outline.issuers.get(name) for _, name in _issued(outline, database)]
    maker = issuers[0] if issuers else None
    if not isinstance(maker, CmsCaIssuer) or len(issuers) != _ALL or any(one != maker for one in issuers):
        return None
    server = outline.certificate(database.server, database.nodes[0])
    return Minting(
        server=maker.server,
        ca=maker.basename,
        ca_common_name=maker.common_name,
        server_certificate=database.server,
        server_common_name=server.common_name,
        server_sans=server.sans,
        client_certificate=database.client,
    )


def unhandled(outline: Outline) -> Iterator[Unhandled]:
    """Yield the clusters of which the CA built into CMS makes a part and not the whole."""
    for database in outline.databases:
        if minting(outline, database) is not None:
            continue
        made = [what for what, issuer in _issued(outline, database) if _built_in(outline, issuer)]
        if made:
            message = f"{', '.join(made)}: made by the CA built into CMS, {_NOT_YET} unless it makes everything"
            yield Unhandled(path=f"databases.{database.name}", message=message)


def _built_in(outline: Outline, issuer: str) -> bool:
    return issuer in outline.issuers and outline.issuers[issuer].type == "cms_ca"


def _members(checking: Checking, name: str, form: DatabaseForm, seen: dict[str, str]) -> None:
    keys: Keys = ("databases", name)
    for part in ("nodes", "clients"):
        for number, server in enumerate(getattr(form, part)):
            checking.known((*keys, part, number), "servers", server, checking.form.servers)
            place = f"{part}[{number}] of {name}"
            if seen.setdefault(server, place) != place:
                message = f"{server} is in {seen[server]} already"
                checking.add((*keys, part, number), message, reason="duplicate-server")
    if form.primary not in form.nodes:
        hint = suggestion(form.primary, form.nodes)
        message = f"the primary {form.primary} is not one of the nodes{hint}"
        checking.add((*keys, "primary"), message, reason="unknown-reference")


def _references(checking: Checking, certificates: Certificates, name: str, form: DatabaseForm) -> None:
    """Server certificates are for nodes only, client certificates for every member (procedure section 2)."""
    keys: Keys = ("databases", name)
    uses = (("server", form.server, form.nodes), ("client", form.client, (*form.nodes, *form.clients)))
    for role, certificate, members in uses:
        if not checking.known((*keys, role), "certificates", certificate, checking.form.certificates):
            continue
        for server in members:
            if server in checking.form.servers:
                certificates.use(certificate, server, checking.form.servers[server])
        _certificate(checking, certificate, f"databases.{name}", role)
        _made_by_cms(checking, certificate, name, form)
    checking.known((*keys, "ca"), "bundles", form.ca, checking.form.bundles)


def _certificate(checking: Checking, name: str, cluster: str, role: str) -> None:
    form = checking.form.certificates.get(name)
    if form is None:  # malformed, a fault already
        return
    if form.naming == "fixed":
        # T-53: /srv/pgsql/client.crt and others; a file put under the name in use changes nothing.
        message = f"{cluster} works on copies of its files, so they always get new names: leave naming out"
        checking.add(("certificates", name, "naming"), message, reason="database-naming")
    if role == "client" and form.common_name != CLIENT_NAME:
        message = f"must be {CLIENT_NAME} for the client certificate of {cluster}"
        checking.add(("certificates", name, "common_name"), message, reason="database-client-cn")


def _made_by_cms(checking: Checking, certificate: str, name: str, form: DatabaseForm) -> None:
    """The CA built into CMS makes one pair for all members, on a node of the cluster (procedure section 2)."""
    made = checking.form.certificates.get(certificate)
    issuer = checking.form.issuers.get(made.issuer or "") if made is not None else None
    if made is None or not isinstance(issuer, CmsCaForm):
        return
    if issuer.server not in form.nodes:
        message = f"{issuer.server} makes material for databases.{name}, so it has to be one of its nodes"
        checking.add(("issuers", made.issuer or "", "server"), message, reason="database-maker")
    if any(mark in text for text in (made.common_name, *map(str, made.sans)) for mark in ("{fqdn}", "{name}")):
        message = "is made once, on one server, and shared: it cannot differ by {fqdn} or {name}"
        checking.add(("certificates", certificate), message, reason="database-shared")


def _issued(outline: Outline, database: DatabaseOutline) -> Iterator[tuple[str, str]]:
    """Yield what of a cluster an issuer makes: (what, issuer)."""
    bundles = [database.ca]
    for name in (database.server, database.client):
        certificate = outline.certificate(name, database.nodes[0])
        if certificate.issuer is not None:
            yield f"certificate {name}", certificate.issuer
        bundles.append(certificate.chain or "")
    for name in dict.fromkeys(bundles):
        bundle = outline.bundles.get(name)
        if bundle is not None and bundle.issuer is not None:
            yield f"bundle {name}", bundle.issuer
