"""From a document to the outline: forms, references, templates. All faults are gathered, then raised at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

from cmscert.errors import Fault, InputError
from cmscert.inventory.certificates import Certificates
from cmscert.inventory.checking import Checking
from cmscert.inventory.databases import databases
from cmscert.inventory.document import parse
from cmscert.inventory.forms import FoundBundle, IssuedBundle, PolicyForm
from cmscert.inventory.issuers import issuer
from cmscert.inventory.logins import check_ways
from cmscert.inventory.outline import BundleOutline, Keys, Outline, StoreOutline
from cmscert.inventory.salvage import read_form
from cmscert.inventory.servers import Servers
from cmscert.inventory.slots import services
from cmscert.inventory.sources import INVENTORY_LIMIT, Border, Unreadable, read_bytes
from cmscert.model.desired import Due, Ignore, KeepRuns, Policy

HINT = "cmscert schema prints the JSON Schema of inventories; docs/reference/inventory.md explains every key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """An outline, and the faults found so far in ``checking.faults``."""

    outline: Outline
    checking: Checking


def read_checked(path: Path) -> Checked:
    """Read an inventory and check everything but its material.

    Raises InputError when nothing can be made of it; other faults are carried, so that material is checked too.
    """
    file = str(path)
    try:
        content = read_bytes(path, limit=INVENTORY_LIMIT)
    except Unreadable as error:
        raise InputError([Fault(message=str(error), file=file, reason="unreadable-file")]) from None
    document = parse(content, file=file)
    salvage = read_form(document)
    if salvage.form is None:
        raise refusal([*document.faults, *salvage.faults])
    checking = Checking(document=document, form=salvage.form, border=Border(path.parent), removed=salvage.removed)
    outline = _outline(checking, hashlib.sha256(content).hexdigest())
    later = [fault for fault in checking.faults if not salvage.explains(fault)]
    checking.faults[:] = [*document.faults, *salvage.faults, *later]
    return Checked(outline=outline, checking=checking)


def refusal(faults: Iterable[Fault]) -> InputError:
    """Put faults in the order of the file and make the error that carries them."""
    found = sorted(faults, key=lambda fault: (fault.line or 0, fault.column or 0, fault.path or ""))
    return InputError(found, hint=HINT)


def _outline(checking: Checking, sha256: str) -> Outline:
    form = checking.form
    certificates = Certificates(checking)
    certificates.check_all()
    check_ways(checking)
    servers = Servers(checking, certificates).all()
    clusters = databases(checking, certificates)
    used = {name for name, _ in certificates.made}
    return Outline(
        file=checking.document.file,
        folder=checking.border.folder,
        sha256=sha256,
        fleet=form.fleet,
        servers=servers,
        certificates=certificates.made,
        bundles={name: _bundle(checking, name) for name in form.bundles},
        databases=clusters,
        issuers={name: issuer(checking, name) for name in form.issuers},
        store=_store(checking),
        subject=form.subject.model_dump(exclude_none=True),
        policy=_policy(checking, form.policy),
        unused=tuple(name for name in form.certificates if name not in used),
    )


def _bundle(checking: Checking, name: str) -> BundleOutline:
    form = checking.form.bundles[name]
    keys: Keys = ("bundles", name)
    if isinstance(form, IssuedBundle):
        checking.known((*keys, "issuer"), "issuers", form.issuer, checking.form.issuers)
        return BundleOutline(name=name, issuer=form.issuer)
    found = isinstance(form, FoundBundle)
    place: Keys = (*keys, "found") if found else keys
    paths = form.found if isinstance(form, FoundBundle) else form
    return BundleOutline(
        name=name,
        paths=tuple(checking.material((*place, number), path) for number, path in enumerate(paths)),
        found=found,
    )


def _store(checking: Checking) -> StoreOutline | None:
    form = checking.form.store
    if form is None:
        return None
    checking.link(("store", "path"), form.path)
    return StoreOutline(
        path=checking.border.folder / form.path,
        passphrase=checking.secret(("store", "passphrase"), form.passphrase),
    )


def _policy(checking: Checking, form: PolicyForm) -> Policy:
    for number, service in enumerate(form.one_at_a_time):
        checking.known(("policy", "one_at_a_time", number), "services", service, services())
    for service in form.seconds:
        checking.known(("policy", "seconds", service), "services", service, services())
    renew = form.renew_when
    days = timedelta(days=renew.days_left) if renew.days_left is not None else None
    life = Fraction(1, 3) if renew.life_left is None and days is None else renew.life_left
    return Policy(
        renew_when=Due(life_left=life, time_left=days),
        one_at_a_time=form.one_at_a_time,
        keep_revisions=form.keep_revisions,
        keep_runs=KeepRuns(count=form.keep_runs.count, days=form.keep_runs.days),
        max_servers_changed=form.max_servers_changed,
        ignore=tuple(Ignore(**one.model_dump()) for one in form.ignore),
        profile=form.profile,
        seconds=form.seconds,
    )
