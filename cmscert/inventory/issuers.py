"""Issuers of the inventory: from their forms to their outlines."""

from __future__ import annotations

from collections.abc import Mapping

from cmscert.inventory.checking import Checking, SecretFormValue
from cmscert.inventory.fields import name_server
from cmscert.inventory.issuer_forms import (
    AcmeForm,
    CmsCaForm,
    CommandIssuerForm,
    DirectoryForm,
    HookForm,
    LocalCaForm,
    UpdatesForm,
)
from cmscert.inventory.outline import (
    AcmeIssuer,
    CmsCaIssuer,
    CommandIssuer,
    DirectoryIssuer,
    HookOutline,
    IssuerOutline,
    Keys,
    LocalCaIssuer,
    UpdatesOutline,
)
from cmscert.model.login import SecretRef


def issuer(checking: Checking, name: str) -> IssuerOutline:
    """Make the outline of an issuer; faults are noted."""
    form = checking.form.issuers[name]
    keys: Keys = ("issuers", name)
    match form:
        case AcmeForm():
            return _acme(checking, name, form)
        case DirectoryForm():
            requests = checking.material((*keys, "requests"), form.requests)
            certificates = checking.material((*keys, "certificates"), form.certificates)
            return DirectoryIssuer(name=name, requests=requests, certificates=certificates)
        case CommandIssuerForm():
            environment = _environment(checking, keys, form.environment)
            return CommandIssuer(name=name, run=form.run, timeout=form.timeout, environment=environment)
        case LocalCaForm():
            certificate = checking.material((*keys, "certificate"), form.certificate)
            key = checking.secret((*keys, "key"), form.key)
            assert key is not None  # noqa: S101 - the form has it
            return LocalCaIssuer(
                name=name,
                certificate=certificate,
                key=key,
                passphrase=checking.secret((*keys, "passphrase"), form.passphrase),
                days=form.days,
            )
        case CmsCaForm():
            checking.known((*keys, "server"), "servers", form.server, checking.form.servers)
            return CmsCaIssuer(name=name, server=form.server, basename=form.basename, common_name=form.common_name)


def _acme(checking: Checking, name: str, form: AcmeForm) -> AcmeIssuer:
    keys: Keys = ("issuers", name)
    external = form.external_account
    return AcmeIssuer(
        name=name,
        directory=form.directory,
        contact=form.contact,
        dns_01=_dns_01(checking, (*keys, "challenge", "dns_01"), form.challenge.dns_01),
        propagation=form.challenge.propagation,
        resolvers=tuple(map(name_server, form.challenge.resolvers)),
        agree_terms=form.agree_terms,
        external_id=None if external is None else external.id,
        external_key=None if external is None else checking.secret((*keys, "external_account", "key"), external.key),
        preferred_chain=form.preferred_chain,
        ca_bundle=None if form.ca_bundle is None else checking.material((*keys, "ca_bundle"), form.ca_bundle),
    )


def _dns_01(checking: Checking, keys: Keys, form: HookForm | UpdatesForm) -> HookOutline | UpdatesOutline:
    if isinstance(form, HookForm):
        environment = _environment(checking, keys, form.environment)
        return HookOutline(command=form.command, timeout=form.timeout, environment=environment)
    key = checking.secret((*keys, "key"), form.key)
    assert key is not None  # noqa: S101 - the form has it
    return UpdatesOutline(
        server=form.server,
        key_name=form.key_name,
        key=key,
        algorithm=form.algorithm,
        port=form.port,
        zone=form.zone,
    )


def _environment(checking: Checking, keys: Keys, forms: Mapping[str, SecretFormValue]) -> dict[str, SecretRef]:
    found = ((variable, checking.secret((*keys, "environment", variable), form)) for variable, form in forms.items())
    return {variable: ref for variable, ref in found if ref is not None}
