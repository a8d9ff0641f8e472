"""What can differ in a slot: one rule, one function, one named reason. All run, none leans on another's order.

Contents count, never names (contract, "What counts as different").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from cmscert.model.desired import Policy, WantedIdentity, WantedTrust
from cmscert.model.names import service_of
from cmscert.model.observed import Binding
from cmscert.model.plan import Drift, Severity
from cmscert.model.readings import ABSENT, Absent, Known
from cmscert.pki.certificate import Certificate
from cmscert.pki.chain import in_chain_order
from cmscert.pki.names import missing_names
from cmscert.planning.due import chain_of, due_at, end_of, is_due
from cmscert.planning.sight import Sight
from cmscert.planning.words import day, names, order, summary, time_left


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityCase:
    """An identity slot: what is wanted, what is bound, what the bound file holds."""

    sight: Sight
    wanted: WantedIdentity
    bound: Binding
    found: tuple[Certificate, ...]
    policy: Policy
    moment: datetime

    @property
    def leaf_is_right(self) -> bool:
        """Whether the bound file starts with the wanted leaf."""
        return self.found[:1] == (self.wanted.material.leaf,)

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """The bound leaf and its issuers: of the wanted leaf as the inventory has them, else as the node has them."""
        if self.leaf_is_right:
            return self.wanted.material.full_chain
        return chain_of(self.found[0], (*self.found, *self.sight.certificates(self.bound.bundle)))

    def drift(
        self, reason: str, wanted: str, found: str, *, severity: Severity = "error", plannable: bool = True
    ) -> Drift:
        """Name one difference in this slot."""
        return Drift(
            server=self.sight.name,
            slot=self.wanted.slot,
            reason=reason,
            wanted=wanted,
            found=found,
            severity=severity,
            plannable=plannable,
        )


def not_bound(case: IdentityCase) -> Drift | None:
    """No key or no certificate is bound."""
    if case.bound.key is not None and case.bound.certificate is not None:
        return None
    return case.drift("not-bound", summary(case.wanted.material.leaf), "nothing is bound")


def file_missing(case: IdentityCase) -> Drift | None:
    """A file is bound that is not in the store."""
    missing = [name for name in case.bound.files if isinstance(case.sight.file(name), Absent)]
    if not missing:
        return None
    return case.drift("file-missing", "the bound files are in the store", f"not there: {', '.join(missing)}")


def not_a_certificate(case: IdentityCase) -> Drift | None:
    """The bound certificate file holds no certificate."""
    name = case.bound.certificate
    content = case.sight.file(name) if name else ABSENT
    if not isinstance(content, Known) or content.value.certificates:
        return None
    return case.drift("not-a-certificate", summary(case.wanted.material.leaf), f"{name} holds no certificate")


def leaf_differs(case: IdentityCase) -> Drift | None:
    """Another certificate is bound."""
    if not case.found or case.leaf_is_right:
        return None
    return case.drift("leaf-differs", summary(case.wanted.material.leaf), summary(case.found[0]))


def chain_differs(case: IdentityCase) -> Drift | None:
    """The leaf is right, the certificates behind it are not."""
    wanted = case.wanted.file_certificates
    if not case.leaf_is_right or set(case.found) == set(wanted):
        return None
    return case.drift("chain-differs", order(wanted), order(case.found))


def chain_order(case: IdentityCase) -> Drift | None:
    """The chain is whole, but not leaf first and root last."""
    wanted = case.wanted.file_certificates
    if not case.leaf_is_right or set(case.found) != set(wanted) or case.found == wanted:
        return None
    return case.drift("chain-order", order(wanted), order(case.found))


def key_mismatch(case: IdentityCase) -> Drift | None:
    """The bound key does not belong to the bound certificate; the node itself says so."""
    key, certificate = case.bound.key, case.bound.certificate
    if key is None or certificate is None or case.sight.observed.matches.get((key, certificate)) != Known(value=False):
        return None
    return case.drift("key-mismatch", f"the key of {certificate}", f"{key} belongs to another certificate")


def upload_unproven(case: IdentityCase) -> Drift | None:
    """A run broke off while it uploaded the bound key, and the node does not say that key and certificate match."""
    key, certificate = case.bound.key, case.bound.certificate
    match = case.sight.observed.matches.get((key or "", certificate or ""))
    if key not in case.sight.torn or isinstance(match, Known):
        return None
    return case.drift("upload-unproven", f"the whole key of {certificate}", f"{key} may be there in part")


def names_missing(case: IdentityCase) -> Drift | None:
    """The bound certificate lacks names that the inventory declares."""
    missing = missing_names(case.found[0], case.wanted.material.declared) if case.found else ()
    if not missing or case.leaf_is_right:
        return None
    return case.drift("names-missing", ", ".join(case.wanted.material.declared), f"lacks {', '.join(missing)}")


def bundle_missing(case: IdentityCase) -> Drift | None:
    """A CA bundle is wanted and none is bound."""
    if case.wanted.bundle is None or case.bound.bundle is not None:
        return None
    return case.drift("bundle-missing", names(case.wanted.bundle.certificates), "no bundle is bound")


def bundle_differs(case: IdentityCase) -> Drift | None:
    """The bound bundle holds other certificates."""
    found = case.sight.certificates(case.bound.bundle)
    if case.wanted.bundle is None or not _readable(case.sight, case.bound.bundle):
        return None
    if set(found) == set(case.wanted.bundle.certificates):
        return None
    return case.drift("bundle-differs", names(case.wanted.bundle.certificates), names(found))


def bundle_order(case: IdentityCase) -> Drift | None:
    """The bundle is whole, but the root does not come last ([S11])."""
    found = case.sight.certificates(case.bound.bundle)
    if case.wanted.bundle is None or set(found) != set(case.wanted.bundle.certificates) or in_chain_order(found):
        return None
    return case.drift("bundle-order", order(case.wanted.bundle.certificates), order(found))


def due(case: IdentityCase) -> Drift | None:
    """The bound certificate has expired, or it is time to renew it; it ends with its chain, wherever that stands."""
    if not case.found:
        return None
    chain = case.chain
    if not is_due(chain, case.policy.renew_when, case.moment):
        return None
    end = end_of(chain)
    expired = end <= case.moment
    return case.drift(
        "expired" if expired else "expires-soon",
        f"renewed from {day(due_at(chain, case.policy.renew_when))}",
        f"{time_left(end, case.moment)}, on {day(end)}",
        severity="error" if expired else "warning",
        plannable=not case.leaf_is_right,
    )


def not_loaded(case: IdentityCase) -> Drift | None:
    """The file is right, but the service still serves what it loaded before."""
    served = case.sight.observed.served.get(case.wanted.slot)
    if not case.leaf_is_right or not isinstance(served, Known) or not served.value:
        return None
    if served.value[0] == case.wanted.material.leaf:
        return None
    return case.drift("not-loaded", summary(case.wanted.material.leaf), f"still served: {summary(served.value[0])}")


def not_answering(case: IdentityCase) -> Drift | None:
    """The service is enabled, but its TLS port is closed."""
    state = case.sight.state(service_of(case.wanted.slot))
    served = case.sight.observed.served.get(case.wanted.slot)
    if state is None or state.enabled is False or not state.listens.get(case.wanted.slot):
        return None
    if not isinstance(served, Absent):
        return None
    ports = ", ".join(f"{listen.interface}:{listen.port}" for listen in state.listens[case.wanted.slot])
    return case.drift("not-answering", f"TLS on {ports}", "the port is closed", severity="warning", plannable=False)


IDENTITY_CHECKS: tuple[Callable[[IdentityCase], Drift | None], ...] = (
    not_bound,
    file_missing,
    not_a_certificate,
    leaf_differs,
    chain_differs,
    chain_order,
    key_mismatch,
    upload_unproven,
    names_missing,
    bundle_missing,
    bundle_differs,
    bundle_order,
    due,
    not_loaded,
    not_answering,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustCase:
    """A trust slot: what is wanted, what is bound, what the bound file holds."""

    sight: Sight
    wanted: WantedTrust
    bound: Binding
    found: tuple[Certificate, ...]

    def drift(self, reason: str, wanted: str, found: str) -> Drift:
        """Name one difference in this slot."""
        return Drift(server=self.sight.name, slot=self.wanted.slot, reason=reason, wanted=wanted, found=found)


def trust_not_bound(case: TrustCase) -> Drift | None:
    """No trust is bound."""
    if case.bound.bundle is not None:
        return None
    return case.drift("trust-missing", names(case.wanted.bundle.certificates), "nothing is bound")


def trust_file_missing(case: TrustCase) -> Drift | None:
    """A file is bound that is not in the store."""
    if case.bound.bundle is None or not isinstance(case.sight.file(case.bound.bundle), Absent):
        return None
    return case.drift("file-missing", names(case.wanted.bundle.certificates), f"not there: {case.bound.bundle}")


def trust_lacks(case: TrustCase) -> Drift | None:
    """Certificates are wanted that the bound file does not hold."""
    lacking = [crt for crt in case.wanted.bundle.certificates if crt not in case.found]
    if not lacking or not _readable(case.sight, case.bound.bundle):
        return None
    return case.drift("trust-lacks", names(case.wanted.bundle.certificates), f"lacks {names(lacking)}")


def trust_exceeds(case: TrustCase) -> Drift | None:
    """The bound file holds certificates that are not wanted."""
    more = [crt for crt in case.found if crt not in case.wanted.bundle.certificates]
    if not more:
        return None
    return case.drift("trust-exceeds", names(case.wanted.bundle.certificates), f"also holds {names(more)}")


def trust_order(case: TrustCase) -> Drift | None:
    """A trust made of CA certificates is whole, but the root does not come last ([S11])."""
    wanted = case.wanted.bundle.certificates
    if case.wanted.leaves_of is not None or set(case.found) != set(wanted) or in_chain_order(case.found):
        return None
    return case.drift("bundle-order", order(wanted), order(case.found))


TRUST_CHECKS: tuple[Callable[[TrustCase], Drift | None], ...] = (
    trust_not_bound,
    trust_file_missing,
    trust_lacks,
    trust_exceeds,
    trust_order,
)


def _readable(sight: Sight, name: str | None) -> bool:
    return name is not None and isinstance(sight.file(name), Known)
