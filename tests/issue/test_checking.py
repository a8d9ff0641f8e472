from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from cmscert.errors import InputError, IssuerError
from cmscert.issue.checking import Accepted, check_issued, find_leaf, obtain
from cmscert.issue.issuers import Asked, Issued, Outstanding, Profile
from cmscert.pki.chain import full_chain
from cmscert.pki.generate import make_key
from cmscert.pki.keys import PrivateKey
from cmscert.pki.pem import to_pem
from cmscert.pki.request import make_request
from cmscert.testing import ca as throw_away
from cmscert.testing.ca import ThrowAwayCa

Sign = Callable[..., throw_away.Issued]
DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Answering:
    """An issuer that gives one answer."""

    answer: Issued | Outstanding
    name: str = "lab"

    async def obtain(self, asked: Asked) -> Issued | Outstanding:
        """Give the answer."""
        assert asked.csr
        return self.answer


def refused(asked: Asked, issued: throw_away.Issued) -> IssuerError:
    """Return the error for a certificate that is refused."""
    with pytest.raises(IssuerError) as caught:
        check_issued(asked, Issued(chain=issued.full_chain), issuer="lab", at=asked.at)
    return caught.value


async def test_accepted(asked: Asked, sign: Sign) -> None:
    """A certificate that is as asked for is accepted with its whole chain, in order and with one line end."""
    issued = sign()
    shuffled = (*issued.chain[::-1], issued.certificate)

    accepted = await obtain(Answering(answer=Issued(chain=shuffled, notes=("n",))), asked, clock=lambda: asked.at)

    assert accepted == Accepted(chain=issued.full_chain, notes=("n",))
    assert to_pem(issued.full_chain).endswith(b"-----END CERTIFICATE-----\n")


async def test_outstanding(asked: Asked) -> None:
    """An issuer that has not signed yet is waited for."""
    waiting = Outstanding(where="csr/node.csr", why="people sign")

    assert await obtain(Answering(answer=waiting), asked, clock=lambda: asked.at) == waiting


async def test_wrong_requests_are_not_sent(asked: Asked) -> None:
    """A request that asks for other names than the inventory, as a node may make it, goes to no issuer."""
    other = make_request(make_key("ec"), common_name="core1.example.com", sans=("evil.example.org",))

    with pytest.raises(InputError) as caught:
        await obtain(Answering(answer=Issued(chain=())), replace(asked, csr=other), clock=lambda: asked.at)

    (fault,) = caught.value.faults
    assert (fault.reason, fault.file) == ("request-names", "node-core1.csr")
    assert "evil.example.org" in fault.message


def test_certificate_of_another_key(asked: Asked, sign: Sign) -> None:
    """A certificate for another key is refused."""
    error = refused(asked, sign(of=make_key("ec")))

    assert "none of the 3 certificates delivered belongs to the key" in error.message
    assert (error.certificate, error.issuer) == ("node for core1", "lab")


def test_several_faults_at_once(asked: Asked, sign: Sign) -> None:
    """Names and usages that were lost are all told at once."""
    error = refused(asked, sign(names=("core1.example.com",), eku=("serverAuth",)))

    assert "does not cover 10.0.0.11" in error.message
    assert "lacks the extended key usage clientAuth" in error.message


def test_lost_client_auth(asked: Asked, sign: Sign, server_only: Profile) -> None:
    """A certificate that lost clientAuth is refused where a slot is a TLS client, with the date, and nowhere else."""
    issued = sign(eku=("serverAuth",))
    error = refused(asked, issued)
    assert "clientAuth" in error.message
    assert "2026-06-15" in str(error.hint)
    assert "private CA" in str(error.hint)

    accepted = check_issued(
        replace(asked, profile=server_only), Issued(chain=issued.full_chain), issuer="lab", at=asked.at
    )
    assert accepted.warnings == ()


def test_lost_server_auth(asked: Asked, sign: Sign) -> None:
    """Where another usage is lost, public CAs are not to blame."""
    error = refused(asked, sign(eku=("clientAuth",)))

    assert "serverAuth" in error.message
    assert error.hint is None


def test_lost_name(asked: Asked, sign: Sign) -> None:
    """A certificate that lost a name is refused, with what to do."""
    error = refused(asked, sign(names=("core1.example.com",)))

    assert "let the issuer sign the names" in str(error.hint)


@pytest.mark.parametrize(
    ("begin", "end", "words"),
    [
        (-90, -1, "expired on 2026-11-22"),
        (1, 90, "not valid before 2026-11-24"),
    ],
)
def test_dates(asked: Asked, sign: Sign, begin: int, end: int, words: str) -> None:
    """What has ended, or begins tomorrow, is refused."""
    assert words in refused(asked, sign(begin=asked.at + begin * DAY, end=asked.at + end * DAY)).message


@pytest.mark.parametrize(("seconds", "good"), [(300, True), (301, False)])
def test_clocks_differ(asked: Asked, sign: Sign, seconds: int, *, good: bool) -> None:
    """A CA whose clock is five minutes ahead is borne, and not a second more."""
    issued = sign(begin=asked.at + timedelta(seconds=seconds))

    if good:
        check_issued(asked, Issued(chain=issued.full_chain), issuer="lab", at=asked.at)
    else:
        assert "not valid before" in refused(asked, issued).message


def test_chain_from_the_bundle(asked: Asked, sign: Sign) -> None:
    """A CA that sends the leaf alone is completed from the bundle: leaf, intermediate, root."""
    issued = sign()

    accepted = check_issued(asked, Issued(chain=(issued.certificate,)), issuer="lab", at=asked.at)

    assert accepted.chain == issued.full_chain


def test_another_ca(asked: Asked, sign: Sign) -> None:
    """A certificate that does not lead to the declared bundle is refused, with what to do."""
    error = refused(asked, sign(ca=ThrowAwayCa.root("Somebody Else")))

    assert "chain does not verify" in error.message
    assert "bundle" in str(error.hint)


def test_without_bundle(asked: Asked, sign: Sign) -> None:
    """Where the inventory names no chain, the issuer's own is kept as far as it goes."""
    issued = sign()
    bare = replace(asked, bundle=())

    for sent in (issued.full_chain, issued.full_chain[:2], issued.full_chain[:1]):
        assert check_issued(bare, Issued(chain=sent), issuer="lab", at=asked.at).chain == sent


def test_warnings_and_strict(asked: Asked, sign: Sign, issuing: ThrowAwayCa) -> None:
    """A certificate without usages is a warning, and an error under the strict profile."""
    issued = Issued(chain=sign(eku=None).full_chain)

    accepted = check_issued(asked, issued, issuer="lab", at=asked.at)
    assert [one.reason for one in accepted.warnings] == ["eku-missing"]
    strict = replace(asked, profile=Profile(strict=True), bundle=issuing.bundle)
    with pytest.raises(IssuerError, match="no extended key usage"):
        check_issued(strict, issued, issuer="lab", at=asked.at)


def test_database_client(root: ThrowAwayCa, asked: Asked) -> None:
    """The database client's certificate has the name postgres, and no SAN."""
    key = make_key("ec")
    csr = make_request(key, common_name="postgres")
    profile = Profile(ekus=("clientAuth",), common_name_must_be="postgres")
    client = replace(asked, common_name="postgres", sans=(), csr=csr, profile=profile, bundle=root.bundle)
    issued = root.issue("postgres", key=key.signer())  # type: ignore[arg-type]  # an EC key

    assert check_issued(client, Issued(chain=issued.full_chain), issuer="lab", at=asked.at).warnings == ()
    other = root.issue("admin", key=key.signer())  # type: ignore[arg-type]  # an EC key
    assert "must be postgres" in refused(client, other).message


def test_shortest_way_to_a_declared_root(root: ThrowAwayCa, asked: Asked, key: PrivateKey) -> None:
    """Of a cross-signed CA's two chains the one to the declared root is taken, however short the other is."""
    old_root = ThrowAwayCa.root("Old Root")
    middle = old_root.intermediate("Old Middle")
    issuing = root.intermediate("Cross-signed CA")
    crossed = middle.intermediate("Cross-signed CA", key=issuing.key_pair)
    leaf = issuing.issue("core1.example.com", asked.sans, key=key.signer()).certificate  # type: ignore[arg-type]  # EC
    everything = (leaf, issuing.certificate, crossed.certificate, middle.certificate, *old_root.bundle, *root.bundle)

    assert full_chain(leaf, everything, root.bundle) == (leaf, issuing.certificate, *root.bundle)
    assert full_chain(leaf, everything, old_root.bundle) == (
        leaf,
        crossed.certificate,
        middle.certificate,
        *old_root.bundle,
    )
    assert full_chain(leaf, everything, (*old_root.bundle, *root.bundle)) == (leaf, issuing.certificate, *root.bundle)
    assert full_chain(leaf, everything, ()) == (leaf, issuing.certificate, *root.bundle)


def test_newest_valid_wins(sign: Sign, asked: Asked, key: PrivateKey) -> None:
    """Of several certificates of a key the newest that is valid is taken; of ended ones the newest."""

    def of(begin: int, end: int) -> throw_away.Issued:
        return sign(begin=asked.at + begin * DAY, end=asked.at + end * DAY)

    old, new, ended, early = of(-30, 60), of(-10, 80), of(-5, -1), of(1, 99)

    def found(at: datetime, *issued: throw_away.Issued) -> object:
        return find_leaf([one.certificate for one in issued], key.spki_sha256, at)

    assert found(asked.at, old, ended, new, early) == new.certificate
    assert found(asked.at + 30 * DAY, old, ended) == old.certificate
    assert found(asked.at + 90 * DAY, old, ended) == ended.certificate
    assert find_leaf((), key.spki_sha256, asked.at) is None


def test_words(asked: Asked) -> None:
    """A certificate is called by its name, and its server where there is one for each."""
    shared = replace(asked, server=None)

    assert (asked.label, asked.stem) == ("node for core1", "node-core1")
    assert (shared.label, shared.stem) == ("node", "node")
    assert asked.names == ("core1.example.com", "10.0.0.11")
    error = asked.fault("lab", "no answer", hint="wait", wait=DAY)
    assert (str(error), error.hint, error.wait) == ("node for core1: issuer lab: no answer", "wait", DAY)
