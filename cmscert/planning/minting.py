"""Database material from the CA built into CMS (procedure section 2, steps 2 to 9).

It has no wanted contents: any pair of one healthy CA will do, as long as all members share it. What is missing, due or
torn is made anew, as a whole, under basenames that were never used: `pki csr` on a name in use breaks its service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from cmscert.model.database import DatabaseFiles
from cmscert.model.desired import Minting, Policy
from cmscert.model.plan import MintDatabase
from cmscert.model.readings import Known
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import issued_by
from cmscert.pki.names import missing_names
from cmscert.planning.due import chain_of, due_at, is_due
from cmscert.planning.file_names import stem_of
from cmscert.planning.sight import Sight
from cmscert.planning.words import day, name_of, names, summary

Fault = tuple[str, str, str]
"""(reason, wanted, found)."""


def minted_faults(
    minting: Minting,
    sight: Sight,
    files: DatabaseFiles,
    reference: tuple[Certificate, ...],
    policy: Policy,
    moment: datetime,
) -> Iterator[Fault]:
    """Yield what is wrong with the material that a member stands on; ``reference``: the CA that all must share."""
    ca = sight.certificates(files.ca)
    if set(ca) != set(reference):
        yield "database-ca-differs", names(reference), names(ca)
    pairs = [("client", files.client_certificate, files.client_key)]
    if files.server_certificate is not None:
        pairs.append(("server", files.server_certificate, files.server_key))
    for use, certificate, key in pairs:
        found = sight.certificates(certificate)
        if not found:
            yield f"database-{use}-differs", "a certificate of the CA built into CMS", "no certificate"
            continue
        yield from _leaf_faults(minting, use, found[0], ca)
        yield from key_faults(sight, certificate, key)
        chain = chain_of(found[0], ca)
        if is_due(chain, policy.renew_when, moment):
            wanted = f"the {use} certificate made anew from {day(due_at(chain, policy.renew_when))}"
            yield "database-due", wanted, summary(found[0])


def _leaf_faults(minting: Minting, use: str, leaf: Certificate, ca: tuple[Certificate, ...]) -> Iterator[Fault]:
    if not any(issued_by(leaf, issuer) for issuer in ca):
        yield f"database-{use}-differs", f"issued by {names(ca)}", summary(leaf)
    if use == "client" and leaf.common_name != minting.client_common_name:
        yield "database-client-differs", f"common name {minting.client_common_name}", f"common name {name_of(leaf)}"
    lacking = missing_names(leaf, minting.server_sans) if use == "server" else ()
    if lacking:
        yield "database-server-differs", ", ".join(minting.server_sans), f"lacks {', '.join(lacking)}"


def key_faults(sight: Sight, certificate: str | None, key: str | None) -> list[Fault]:
    """Return that a bound key does not belong to its certificate, when the node says so."""
    if sight.observed.matches.get((key or "", certificate or "")) != Known(value=False):
        return []
    return [("database-key-mismatch", f"the key of {certificate}", f"{key} belongs to another certificate")]


def mint(minting: Minting, stores: Iterable[Sight], moment: datetime) -> MintDatabase:
    """Return the making of new material, under basenames that no member's store has in any form."""
    used = {name.rpartition(".")[0] for sight in stores for name in _listed(sight)}
    stems = (minting.ca, minting.server_certificate, minting.client_certificate)
    ending = 0
    while True:
        mark = f"{moment:%Y%m%d}" + (f"-{ending}" if ending else "")
        ca, server, client = (f"{stem_of(stem)}-{mark}" for stem in stems)
        if not used & {ca, server, client}:
            break
        ending += 1
    return MintDatabase(
        ca=ca,
        ca_common_name=minting.ca_common_name,
        server=server,
        server_common_name=minting.server_common_name,
        server_sans=minting.server_sans,
        client=client,
        client_common_name=minting.client_common_name,
    )


def _listed(sight: Sight) -> tuple[str, ...]:
    return sight.observed.files.value if isinstance(sight.observed.files, Known) else ()


def minted_files(made: MintDatabase) -> DatabaseFiles:
    """Return the files that the making leaves on its node."""
    return DatabaseFiles(
        server_key=f"{made.server}.key",
        server_certificate=f"{made.server}.crt",
        client_key=f"{made.client}.key",
        client_certificate=f"{made.client}.crt",
        ca=f"{made.ca}.crt",
    )
