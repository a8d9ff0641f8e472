"""Plants the faults of the demo: each is found in the field, and every service still works as it is loaded today.

The faults of C2W belong together. A call bridge trusts an older CA only, and all web bridges still show certificates of
that CA, so they meet; the wanted certificates would be refused. The other call bridges accept the older certificates
too, because the web bridges show a cross certificate of the older CA, signed by the root of the new bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cmscert.lab import minting
from cmscert.lab.minting import Authority, Identity, Life
from cmscert.lab.pki import World
from cmscert.lab.placing import Fleet, certificate_file
from cmscert.lab.sketch import CertificateSketch, SlotSketch

EXPIRING_LEFT: Final = timedelta(days=8, hours=1)  # eight whole days also when it is read a little later
STALE_LEFT: Final = timedelta(days=25)
LIFE: Final = timedelta(days=90)
_OLDER_CA: Final = "older issuing CA (lab)"
_TRUST_C2W: Final = "callbridge/trust-c2w"
_C2W: Final = "webbridge3/c2w"
# Where a fault is shown best; a probe sees all of these.
_SHOWN: Final = ("webadmin", "callbridge", "webbridge3/https", "webbridge", "turn", "recorder", "xmpp", "streamer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A fault on a node: what a plan has to find there, and nothing else.

    ``kind``: ``expires-soon``, ``names-missing``, ``key-mismatch``, ``not-loaded``, ``bundle-order``,
    ``trust-lacks-ca`` or ``older-ca``. ``slot`` is ``database`` where a member of a database cluster has the fault.
    """

    server: str
    slot: str
    kind: str
    sentence: str


def plant(fleet: Fleet, world: World, *, now: datetime) -> list[Planted]:
    """Plant one fault of each kind, on servers of their own as far as there are enough; say which and where.

    A kind that the fleet has no place for is left out. The same sketch gives the same places.
    """
    planter = _Planter(fleet, world, now)
    planter.c2w()
    planter.missing_name()
    planter.other_key()
    planter.bundle_order()
    planter.expiring()
    planter.stale()
    return planter.planted


class _Planter:
    def __init__(self, fleet: Fleet, world: World, now: datetime) -> None:
        self.fleet, self.world, self.now = fleet, world, now
        self.planted: list[Planted] = []
        slots = fleet.sketch.slots
        # A leaf that peers pin cannot be another one today: they would not meet.
        self._pinned = {slot.leaves_of for slot in slots if slot.leaves_of is not None}
        self._identities = [slot for slot in slots if slot.certificate is not None]

    def c2w(self) -> None:
        """Let the last call bridge trust an older CA only, and every web bridge show certificates of that CA."""
        trusts = [slot for slot in self.fleet.sketch.slots if slot.slot == _TRUST_C2W]
        peers = [slot for slot in self._identities if slot.slot == _C2W]
        pinned = any(slot.leaves_of for slot in trusts) or any(self._is_pinned(slot) for slot in peers)
        if not trusts or pinned or any(self._wanted(slot).bundle is None for slot in peers):
            return
        key = minting.new_key(self.world.key_type or "rsa")
        life = Life(not_before=self.now - 7 * LIFE, not_after=self.now + 4 * LIFE)
        older = minting.make_authority(_OLDER_CA, key=key, signer=None, life=life)
        trust = trusts[-1]
        self.fleet.bind_bundle(trust, "old-ca.crt", minting.pem([older.certificate]))
        self._note(trust, "trust-lacks-ca", "the C2W trust holds an older CA only: the wanted certificates are refused")
        ways: tuple[Callable[[SlotSketch, Authority], None], ...] = (self._expire, self._forget)
        for at, peer in enumerate(peers):
            root = self.world.authority(self._wanted(peer).bundle)
            assert root is not None
            signer = Authority(certificate=root.chain[-1], key=self._key_of(root), chain=root.chain[-1:])
            cross = minting.make_authority(_OLDER_CA, key=key, signer=signer, life=life)
            (ways[at] if at < len(ways) else self._leave_older)(peer, cross)

    def missing_name(self) -> None:
        """Bind a certificate that lacks a name that the wanted one has."""
        slot = self._pick(self._free_leaves(lambda slot: bool(self._spare_names(slot))))
        if slot is not None:
            wanted = self._wanted(slot)
            lost = self._spare_names(slot)[-1]
            kept = [name for name in wanted.sans if name != lost]
            not_before = self.now - LIFE / 3
            older = self.world.issue(wanted, sans=kept, not_before=not_before, not_after=not_before + LIFE)
            self.fleet.bind(slot, older, f"{wanted.name}-{not_before.year}")
            self._note(slot, "names-missing", f"the certificate lacks the name {lost}")

    def other_key(self) -> None:
        """Replace the key file by another key, while the service runs on with what it has loaded."""
        slot = self._pick(self._identities)
        if slot is not None:
            spec, right = self.fleet.service(slot), self._identity(slot)
            spec.loaded[slot.slot] = (right.key_pem, certificate_file(slot, right))
            other = self.world.new_key(self._wanted(slot))
            spec.slots[slot.slot].key = self.fleet.put(slot.server, f"{slot.service}.key", minting.key_pem(other))
            self._note(slot, "key-mismatch", "the key file was replaced and does not belong to the certificate")

    def bundle_order(self) -> None:
        """Bind a bundle file with the root first."""
        bundles = [slot for slot in self._identities if slot.bundle and len(self.world.bundle(slot.bundle)) > 1]
        slot = self._pick(bundles)
        if slot is not None and slot.bundle is not None:
            turned = minting.pem(reversed(self.world.bundle(slot.bundle)))
            self.fleet.bind_bundle(slot, f"{slot.bundle}-bundle.crt", turned)
            self._note(slot, "bundle-order", "the CA bundle has the root first")

    def expiring(self) -> None:
        """Bind a certificate with 8 days left, unless C2W has one."""
        self._elsewhere("expires-soon", self._expire)

    def stale(self) -> None:
        """Let a service run on with the old certificate although the files were replaced, unless C2W has one."""
        self._elsewhere("not-loaded", self._forget)

    def _elsewhere(self, kind: str, way: Callable[[SlotSketch, Authority | None], None]) -> None:
        if all(fault.kind != kind for fault in self.planted):
            slot = self._pick(self._free_leaves(lambda _: True))
            if slot is not None:
                way(slot, None)

    def _expire(self, slot: SlotSketch, authority: Authority | None) -> None:
        older = self._older(slot, authority, EXPIRING_LEFT)
        self.fleet.bind(slot, older, f"{self._wanted(slot).name}-{older.certificate.not_valid_before_utc.year}")
        self._note(slot, "expires-soon", f"the certificate expires in {EXPIRING_LEFT.days} days")

    def _forget(self, slot: SlotSketch, authority: Authority | None) -> None:
        older = self._older(slot, authority, STALE_LEFT)
        self.fleet.service(slot).loaded[slot.slot] = (older.key_pem, certificate_file(slot, older))
        self._note(slot, "not-loaded", "the file was replaced, but the service still serves the old certificate")

    def _leave_older(self, slot: SlotSketch, authority: Authority) -> None:
        older = self._older(slot, authority, STALE_LEFT)
        self.fleet.bind(slot, older, f"{self._wanted(slot).name}-{older.certificate.not_valid_before_utc.year}")
        self._note(slot, "older-ca", "the certificate is the old one, from the older CA")

    def _older(self, slot: SlotSketch, authority: Authority | None, left: timedelta) -> Identity:
        not_after = self.now + left
        return self.world.issue(
            self._wanted(slot), not_before=not_after - LIFE, not_after=not_after, authority=authority
        )

    def _note(self, slot: SlotSketch, kind: str, sentence: str) -> None:
        self.planted.append(Planted(server=slot.server, slot=slot.slot, kind=kind, sentence=sentence))

    def _pick(self, slots: Iterable[SlotSketch]) -> SlotSketch | None:
        """Choose a slot without a fault: on a server without one, then where it is shown best, then the first."""
        taken = {(fault.server, fault.slot) for fault in self.planted}
        servers = {fault.server for fault in self.planted}
        free = [slot for slot in slots if (slot.server, slot.slot) not in taken and slot.slot in _SHOWN]
        return min(free, key=lambda slot: (slot.server in servers, _SHOWN.index(slot.slot)), default=None)

    def _free_leaves(self, fits: Callable[[SlotSketch], bool]) -> list[SlotSketch]:
        return [slot for slot in self._identities if not self._is_pinned(slot) and fits(slot)]

    def _spare_names(self, slot: SlotSketch) -> list[str]:
        wanted = self._wanted(slot)
        return [name for name in wanted.sans if name != wanted.common_name]

    def _is_pinned(self, slot: SlotSketch) -> bool:
        return any(slot.belongs_to(name) for name in self._pinned)

    def _wanted(self, slot: SlotSketch) -> CertificateSketch:
        assert slot.certificate is not None
        return self.fleet.sketch.certificate(slot.certificate)

    def _identity(self, slot: SlotSketch) -> Identity:
        assert slot.certificate is not None
        return self.world.leaves[slot.certificate]

    def _key_of(self, authority: Authority) -> minting.Key:
        return next(other.key for other in self.world.authorities.values() if other.certificate == authority.chain[-1])
