from __future__ import annotations

import doctest
from datetime import UTC, datetime

from cryptography import x509

from cmscert.pki.keys import read_key
from cmscert.pki.pem import read_certificates
from cmscert.testing import ca
from cmscert.testing.ca import AT, ThrowAwayCa, self_signed


def test_the_example_in_the_docstring_holds() -> None:
    """The example of the module runs."""
    failed, tried = doctest.testmod(ca)

    assert (failed, tried > 0) == (0, True)


def test_names_serials_and_dates_are_the_same_every_time() -> None:
    """All but the keys is the same in every run."""

    def facts() -> list[tuple[str, int, datetime, datetime]]:
        root = ThrowAwayCa.root("Root")
        issuing = root.intermediate("Issuing")
        made = (root, issuing, issuing.issue("a"), issuing.issue("b"), self_signed("c"))
        every = [one.certificate for one in made]
        return [(one.subject, one.serial, one.not_before, one.not_after) for one in every]

    assert facts() == facts()
    assert facts()[3][1] == 2
    assert facts()[0][2] == AT


def test_what_is_made_fits_together() -> None:
    """PEM, key and chain of what was issued belong together, for RSA as for EC."""
    issuing = ThrowAwayCa.root().intermediate()
    for made in (issuing.issue("a"), issuing.issue("a", key="rsa")):
        assert read_certificates(made.full_chain_pem, file="a") == made.full_chain
        assert read_certificates(made.certificate_pem + made.chain_pem, file="a") == made.full_chain
        assert read_key(made.key_pem, file="a").spki_sha256 == made.certificate.spki_sha256
        assert made.chain == issuing.bundle
        assert made.full_chain_pem.endswith(issuing.bundle_pem)


def test_wishes_are_kept() -> None:
    """Dates, path length, an own key and own extensions are taken as given."""
    until = datetime(2025, 1, 1, tzinfo=UTC)
    root = ThrowAwayCa.root("Root", at=until.replace(year=2020), not_after=until, extensions=())
    issuing = root.intermediate("Issuing", at=until.replace(year=2021), not_after=until, path_length=0, key="rsa")
    again = root.intermediate("Issuing", key=issuing.key_pair, extensions=())
    odd = issuing.issue("a", extra=[(x509.OCSPNoCheck(), False)], not_before=AT, not_after=until).certificate

    assert root.certificate.not_after == issuing.certificate.not_after == odd.not_after == until
    assert (root.certificate.is_ca, issuing.certificate.path_length) == (False, 0)
    assert again.certificate.spki_sha256 == issuing.certificate.spki_sha256
    assert self_signed("a").certificate.ekus is None


def test_keys_are_not_shown() -> None:
    """The kit's values do not print their keys."""
    shown = repr(ThrowAwayCa.root()) + repr(self_signed("a"))

    assert "key_pair" not in shown
    assert "PrivateKey" not in shown
