"""From the inventory's ``issuers`` to things that can be asked for certificates."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta

from cmscert.app.supplies import ca_file
from cmscert.errors import NodeError
from cmscert.inventory.outline import (
    AcmeIssuer,
    CmsCaIssuer,
    CommandIssuer,
    DirectoryIssuer,
    HookOutline,
    LocalCaIssuer,
    Outline,
    UpdatesOutline,
)
from cmscert.inventory.secrets import resolve, resolve_bytes
from cmscert.issue import cms_ca, command, directory, local_ca
from cmscert.issue.dns01 import Hook, Publisher
from cmscert.issue.issuers import Issuer
from cmscert.issue.store import Store
from cmscert.model.login import SecretRef
from cmscert.model.secret import Secret
from cmscert.transport.session import WriteSession


def mark() -> str:
    """Return eight letters and digits that make a name unused."""
    return secrets.token_hex(4)


def issuer_of(name: str, outline: Outline, store: Store, session: Callable[[str], WriteSession]) -> Issuer:
    """Return an issuer of the inventory, ready to be asked.

    ``session``: returns the session to a server, or raises the NodeError for which there is none.
    Raises InputError, SecretError and NodeError when it cannot be made ready: others go on without it.
    """
    declared = outline.issuers[name]
    match declared:
        case DirectoryIssuer():
            return directory.DirectoryIssuer(
                name=name, requests=declared.requests, certificates=declared.certificates, folder=outline.folder
            )
        case CommandIssuer():
            return command.CommandIssuer(
                name=name,
                run=declared.run,
                folder=outline.folder,
                environment=_environment(declared.environment, outline),
                seconds=float(declared.timeout),
            )
        case LocalCaIssuer():
            return _local_ca(declared, outline)
        case CmsCaIssuer():
            return cms_ca.CmsCa(
                name=name,
                basename=declared.basename,
                common_name=declared.common_name,
                session=session(declared.server),
                mark=mark,
            )
        case AcmeIssuer():
            return _acme(declared, outline, store)


def _acme(declared: AcmeIssuer, outline: Outline, store: Store) -> Issuer:
    from cmscert.issue import acme, acme_talk, dns_watch  # late: the ACME library costs a fifth of a second

    reference = declared.external_key
    external = None
    if declared.external_id is not None and reference is not None:
        external = acme_talk.ExternalAccount(
            id=declared.external_id, key=lambda: resolve(reference, folder=outline.folder)
        )
    accounts = acme_talk.Accounts(
        name=declared.name,
        directory=declared.directory,
        store=store,
        contact=declared.contact,
        external=external,
        ca_bundle=declared.ca_bundle,
        agree=declared.agree_terms,
    )
    return acme.AcmeIssuer(
        name=declared.name,
        accounts=accounts,
        store=store,
        publisher=_publisher(declared.dns_01, outline),
        watch=dns_watch.Watch(resolvers=declared.resolvers, seconds=float(declared.propagation)),
        preferred_chain=declared.preferred_chain,
    )


def _publisher(declared: HookOutline | UpdatesOutline, outline: Outline) -> Publisher:
    if isinstance(declared, HookOutline):
        return Hook(
            words=declared.command,
            folder=outline.folder,
            environment=_environment(declared.environment, outline),
            seconds=float(declared.timeout),
        )
    from cmscert.issue.dns_update import Updates

    return Updates(
        server=declared.server,
        key_name=declared.key_name,
        key=resolve(declared.key, folder=outline.folder),
        algorithm=declared.algorithm,
        port=declared.port,
        zone=declared.zone,
    )


def _environment(declared: Mapping[str, SecretRef], outline: Outline) -> dict[str, Secret[str]]:
    return {word: resolve(ref, folder=outline.folder) for word, ref in declared.items()}


def _local_ca(declared: LocalCaIssuer, outline: Outline) -> Issuer:
    return local_ca.load_local_ca(
        declared.name,
        certificate=ca_file(declared),
        key=resolve_bytes(declared.key, folder=outline.folder).reveal(),
        certificate_file=str(declared.certificate),
        key_file=f"the key of issuer {declared.name}",
        passphrase=_passphrase(declared.passphrase, outline),
        lifetime=timedelta(days=declared.days),
    )


def _passphrase(ref: SecretRef | None, outline: Outline) -> bytes | None:
    found: Secret[str] | None = None if ref is None else resolve(ref, folder=outline.folder)
    return None if found is None else found.reveal().encode()


def sessions_or_why(
    sessions: Mapping[str, WriteSession], failures: Mapping[str, NodeError]
) -> Callable[[str], WriteSession]:
    """Return a function that gives the session to a server, or raises why there is none."""

    def session(server: str) -> WriteSession:
        if server in failures:
            raise failures[server]
        return sessions[server]

    return session
