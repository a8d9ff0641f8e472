"""Certificates of the inventory: templates, SANs, sources; one outline for each use."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cmscert.inventory.checking import Checking
from cmscert.inventory.complaints import suggestion
from cmscert.inventory.fields import is_san
from cmscert.inventory.forms import CertificateForm, FqdnsOf, ServerForm
from cmscert.inventory.issuer_forms import AcmeForm
from cmscert.inventory.outline import CertificateOutline, Keys
from cmscert.mmp.csr import faults, request_for
from cmscert.pki.generate import key_fault
from cmscert.pki.names import is_host
from cmscert.pki.request import unrequestable

_BRACES = re.compile(r"\{([^{}]*)\}|[{}]")
_WORDS = ("fqdn", "name")
_EC_BITS = (256, 384, 521)
_RSA_BITS = 1024


@dataclass(slots=True)
class Certificates:
    """Makes an outline of a certificate for every server that uses it, or one for all."""

    checking: Checking
    made: dict[tuple[str, str | None], CertificateOutline] = field(default_factory=dict)
    _per_server: dict[str, bool] = field(default_factory=dict)
    _templated: dict[str, bool] = field(default_factory=dict)
    _fqdns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _stems: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def check_all(self) -> None:
        """Note what is wrong with the certificates themselves, used or not."""
        for name, form in self.checking.form.certificates.items():
            keys: Keys = ("certificates", name)
            self._templated[name] = self._templates(keys, form)
            self._per_server[name] = self._templated[name] or form.key.made == "device"
            self._sources(keys, form)
            self._key(keys, form)
            if form.chain is not None:
                self.checking.known((*keys, "chain"), "bundles", form.chain, self.checking.form.bundles)
            for number, san in enumerate(form.sans):
                self._san((*keys, "sans", number), san)

    def use(self, name: str, server: str, form: ServerForm) -> None:
        """Make the outline of a certificate for a server that uses it; of an undeclared one, nothing."""
        if name not in self.checking.form.certificates:
            return
        key = (name, server if self._per_server[name] else None)
        if key not in self.made:
            self.made[key] = self._outline(name, server, form, per_server=key[1] is not None)
            self._requestable(self.made[key])
            self._alone(name, server)

    def _alone(self, name: str, server: str) -> None:
        """A key that a server made never leaves it, so no second server can have the certificate."""
        if not self._per_server[name] or self._templated[name]:
            return
        others = [other for used, other in self.made if used == name and other != server]
        if others:
            message = (
                f"{others[0]} and {server} share this certificate, so its key cannot be made on a server: "
                "say made: local, or name {fqdn} or {name} in it"
            )
            self.checking.add(("certificates", name, "key", "made"), message, reason="key-shared")

    def _requestable(self, outline: CertificateOutline) -> None:
        """Hold what is to be asked for against what the issuer can prove, and the rules of ``pki csr``."""
        if outline.issuer is None:
            return
        stem = outline.name if outline.server is None else f"{outline.name}-{outline.server}"
        twin = self._stems.setdefault(stem, (outline.name, outline.server))
        if twin != (outline.name, outline.server):
            message = f"its request would be called {stem}.csr, as that of {twin[0]} is: rename one of them"
            self.checking.add(outline.keys, message, reason="name-clash", key=True)
        unproven = [name for name in outline.declared if not is_host(name)]
        if unproven and isinstance(self.checking.form.issuers.get(outline.issuer), AcmeForm):
            message = f"{outline.issuer} proves DNS names only (DNS-01), not {', '.join(unproven)}"
            self.checking.add(outline.keys, message, reason="request")
        subject = self.checking.form.subject.model_dump(exclude_none=True)
        if outline.key_made == "local":
            said = [
                f"no request can be made for it: {fault}"
                for fault in unrequestable(outline.common_name, outline.sans, subject)
            ]
        else:
            request = request_for("unused", common_name=outline.common_name, sans=outline.sans, attributes=subject)
            said = [f"pki csr would refuse it: {fault}" for fault in faults(request)]
        for message in said:
            self.checking.add(outline.keys, message, reason="request")

    def _outline(self, name: str, server: str, at: ServerForm, *, per_server: bool) -> CertificateOutline:
        form = self.checking.form.certificates[name]
        files = form.files
        keys: Keys = ("certificates", name, "files")

        def fill(text: str) -> str:
            return text.replace("{fqdn}", at.fqdn).replace("{name}", server) if per_server else text

        return CertificateOutline(
            name=name,
            server=server if per_server else None,
            common_name=fill(form.common_name),
            sans=tuple(
                dict.fromkeys(
                    part
                    for san in form.sans
                    for part in (self._role(san.fqdns_of) if isinstance(san, FqdnsOf) else (fill(san),))
                )
            ),
            chain=form.chain,
            certificate_path=self.checking.material((*keys, "certificate"), fill(files.certificate)) if files else None,
            key_path=self.checking.material((*keys, "key"), fill(files.key)) if files and files.key else None,
            passphrase=self.checking.secret((*keys, "passphrase"), files.passphrase) if files else None,
            issuer=form.issuer,
            naming=form.naming,
            key_made=form.key.made,
            key_type=form.key.type,
            key_bits=form.key.bits,
        )

    def _role(self, role: str) -> tuple[str, ...]:
        if role not in self._fqdns:
            servers = self.checking.form.servers.values()
            self._fqdns[role] = tuple(server.fqdn for server in servers if role in server.roles)
        return self._fqdns[role]

    def _templates(self, keys: Keys, form: CertificateForm) -> bool:
        """Check the braces of a certificate; tell whether it has any of the words that make one per server."""
        texts: list[tuple[Keys, str]] = [((*keys, "common_name"), form.common_name)]
        texts += [((*keys, "sans", at), san) for at, san in enumerate(form.sans) if isinstance(san, str)]
        if form.files is not None:
            texts += [((*keys, "files", "certificate"), form.files.certificate)]
            texts += [((*keys, "files", "key"), form.files.key)] if form.files.key is not None else []
        found = False
        for place, text in texts:
            for braces in _BRACES.finditer(text):
                found = found or braces[1] in _WORDS
                if braces[1] not in _WORDS:
                    words = [f"{{{word}}}" for word in _WORDS]
                    hint = suggestion(braces[0], words, listing=False) or f"; known are {' and '.join(words)}"
                    self.checking.add(place, f"{braces[0]} stands for nothing{hint}", reason="unknown-template")
        return found

    def _san(self, keys: Keys, san: str | FqdnsOf) -> None:
        if isinstance(san, FqdnsOf):
            known = self.checking.known((*keys, "fqdns_of"), "roles", san.fqdns_of, self.checking.form.roles)
            if known and not self._role(san.fqdns_of):
                self.checking.add(keys, f"no server has the role {san.fqdns_of}", reason="unused-role")
        elif not is_san(_BRACES.sub("a", san)):
            self.checking.add(keys, "must be a DNS name, an IP address or an e-mail address", reason="invalid-value")

    def _sources(self, keys: Keys, form: CertificateForm) -> None:
        if form.issuer is not None:
            self.checking.known((*keys, "issuer"), "issuers", form.issuer, self.checking.form.issuers)
        if (form.files is None) == (form.issuer is None):
            message = (
                "needs files: {certificate, key} or an issuer" if form.files is None else "has files and an issuer"
            )
            self.checking.add(keys, f"{message}: say one of them", reason="certificate-source", key=True)

    def _key(self, keys: Keys, form: CertificateForm) -> None:
        kind, bits = form.key.type, form.key.bits
        if form.key.made == "device" and form.files is not None:
            message = "a key made on the server has no file: say issuer instead of files"
            self.checking.add((*keys, "key", "made"), message, reason="certificate-source")
        unmade = key_fault(kind or "rsa", bits) if form.issuer is not None and form.key.made == "local" else None
        if unmade is not None:
            self.checking.add((*keys, "key", "bits"), unmade, reason="invalid-value")
            return
        if kind == "ec" and bits is not None and bits not in _EC_BITS:
            self.checking.add((*keys, "key", "bits"), "EC keys have 256, 384 or 521 bits", reason="invalid-value")
        if kind == "rsa" and bits is not None and bits < _RSA_BITS:
            self.checking.add((*keys, "key", "bits"), "RSA keys have at least 1024 bits", reason="invalid-value")
