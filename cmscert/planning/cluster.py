"""A database cluster as the planner sees it: which member stands where, and who holds the data (facts section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Literal

from cmscert.model.database import DatabaseFiles, DatabaseMember, DatabaseState, FormerPrimary
from cmscert.model.desired import Material, Policy, WantedDatabase, WantedServer
from cmscert.model.plan import Drift
from cmscert.model.readings import Known, Unread
from cmscert.pki.certificate import Certificate
from cmscert.planning.ignoring import with_ignores
from cmscert.planning.minting import Fault, key_faults, minted_faults
from cmscert.planning.sight import Sight
from cmscert.planning.words import names, summary

Phase = Literal["right", "old", "out", "unread"]
"""``right``: in a cluster with the wanted certificates. ``old``: in a cluster with others. ``out``: in none."""

UNCLEAR: Literal["?"] = "?"

_OUT = frozenset(
    {
        ("database cluster initialize", "failed"),
        ("database cluster join", "failed"),
        ("database cluster connect", "failed"),
        ("database cluster remove", "success"),
    }
)
"""Last commands after which a server is in no cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What is wanted of a cluster and what its members show.

    ``noted``: the primary of a rebuild that was begun. ``faults``: what is wrong about each standing member.
    """

    wanted: WantedDatabase
    sights: Mapping[str, Sight]
    phases: Mapping[str, Phase]
    noted: FormerPrimary | None
    faults: Mapping[str, tuple[Fault, ...]]

    def state(self, server: str) -> DatabaseState | None:
        """Return a member's status when it was read."""
        reading = self.sights[server].observed.database
        return reading.value if isinstance(reading, Known) else None

    def address(self, server: str) -> str:
        """Return the address by which members reach a server's database."""
        wanted = self.sights[server].wanted
        return wanted.database_address or wanted.address

    def named(self, row: DatabaseMember) -> str | None:
        """Return the server that a row of a status screen is about."""
        for name in self.wanted.members:
            if row.address.casefold() in known_as(self.sights[name].wanted):
                return name
        return None

    @property
    def standing(self) -> tuple[str, ...]:
        """Members that are part of a cluster now."""
        return tuple(name for name in self.wanted.members if self.phases[name] in ("right", "old"))

    @property
    def live_primary(self) -> str | None:
        """The primary that every standing member names; None where nothing stands, ``?`` when they do not agree."""
        said: set[str] = set()
        for name in self.standing:
            rows = self._said(name)
            said |= {self.named(row) or UNCLEAR for row in rows} if len(rows) == 1 else {UNCLEAR}
        return next(iter(said)) if len(said) == 1 else (UNCLEAR if said else None)

    @property
    def primary(self) -> str:
        """The server whose rows are the truth: noted, else live, else the one that says so, else the inventory's."""
        if self.noted is not None:
            return self.noted.server
        live = self.live_primary
        if live == UNCLEAR:
            return self.claimed or self.wanted.primary
        return self.wanted.primary if live is None else live

    @property
    def claimed(self) -> str | None:
        """The only server that any standing member names as primary, where it says so itself.

        Members that do not talk name nobody: "once the certificate expires, database nodes in cluster stops talking"
        ([S13b]).
        """
        said = {name: self._said(name) for name in self.standing}
        named = {self.named(row) for rows in said.values() for row in rows}
        name = next(iter(named)) if len(named) == 1 else None
        return name if name is not None and any(row.me for row in said.get(name, ())) else None

    @property
    def blind(self) -> tuple[str, ...]:
        """Standing members that name nobody as primary."""
        return tuple(name for name in self.standing if not self._said(name))

    def _said(self, server: str) -> tuple[DatabaseMember, ...]:
        state = self.state(server)
        return state.primaries if state is not None else ()

    @property
    def is_rebuilt(self) -> bool:
        """Whether the whole cluster has to be built anew: the one that holds the data stands on other certificates."""
        return self.phases[self.primary] != "right"

    @property
    def out_of_sync(self) -> tuple[str, ...]:
        """Nodes that a standing member shows as not in sync, or not connected."""
        behind: dict[str, None] = {}
        for name in self.standing:
            state = self.state(name)
            for row in state.members if state is not None else ():
                if row.me and row.role == "other" and name in self.wanted.clients:
                    continue  # a client has no rows that could be behind
                if row.role != "primary" and (not row.connected or row.in_sync is not True):
                    behind[self.named(row) or row.address] = None
        return tuple(behind)


def known_as(server: WantedServer) -> frozenset[str]:
    """Return the addresses and names by which a status screen may show a server, as screens are read."""
    every = (server.database_address, server.address, server.fqdn, server.name)
    return frozenset(_plain(each) for each in every if each)


def _plain(address: str) -> str:
    try:
        return str(ip_address(address))  # "2001:DB8:0::1" is read as "2001:db8::1"
    except ValueError:
        return address.casefold().rstrip(".")


def see_cluster(
    wanted: WantedDatabase,
    sights: Mapping[str, Sight],
    noted: FormerPrimary | None,
    *,
    policy: Policy,
    moment: datetime,
) -> Cluster:
    """Sort the members by what they show."""
    blind = Cluster(wanted=wanted, sights=sights, phases=dict.fromkeys(wanted.members, "old"), noted=noted, faults={})
    phases: dict[str, Phase] = {}
    faults: dict[str, tuple[Fault, ...]] = {}
    for name in wanted.members:
        phases[name] = _phase(sights[name])
        state = blind.state(name)
        if phases[name] != "right" or state is None:
            continue
        faults[name] = _faults(blind, name, state, policy, moment)
        if any(_counts(wanted, name, fault, policy, moment) for fault in faults[name]):
            phases[name] = "old"
    return Cluster(wanted=wanted, sights=sights, phases=phases, noted=noted, faults=faults)


def _counts(wanted: WantedDatabase, server: str, fault: Fault, policy: Policy, moment: datetime) -> bool:
    """Tell whether a fault is to be mended: no cluster is taken down for what ``policy.ignore`` leaves alone."""
    reason, right, found = fault
    drift = Drift(server=server, slot=f"database/{wanted.name}", reason=reason, wanted=right, found=found)
    return with_ignores(drift, policy.ignore, moment).ignored is None


def _phase(sight: Sight) -> Phase:
    reading = sight.observed.database
    if not isinstance(reading, Known):
        return "unread"
    state = reading.value
    if not state.standing:
        # Enabled, or in error, and yet no node in sight: not the screen of a server that is in no cluster, unless it
        # says itself that it did not get into one, or got out.
        doubtful = state.status.casefold() in ("enabled", "error") and not _says_out(state)
        return "unread" if doubtful else "out"
    if any(isinstance(sight.file(name), Unread) for name in public_names(state.files)):
        return "unread"
    return "right"


def _says_out(state: DatabaseState) -> bool:
    return (" ".join((state.last_command or "").casefold().split()[:3]), state.last_state) in _OUT


def public_names(files: DatabaseFiles) -> tuple[str, ...]:
    """Return the bound files that hold certificates."""
    every = (files.server_certificate, files.client_certificate, files.ca)
    return tuple(name for name in every if name is not None)


def _faults(cluster: Cluster, server: str, state: DatabaseState, policy: Policy, moment: datetime) -> tuple[Fault, ...]:
    """Return what is not as wanted about a standing member."""
    wanted, sight = cluster.wanted, cluster.sights[server]
    faults: list[Fault] = []
    is_node = server in wanted.nodes
    if state.expired:
        faults.append(("database-expired", "certificates that are valid", "the status screen says expired"))
    me = state.me if is_node or (state.me is not None and state.me.role != "other") else None
    if (
        me is not None
    ) != is_node:  # whether a client has a row of its own is unknown ([UNK] 5.5): it has no role there
        roles = ("a node of the cluster", "a client of the cluster")
        faults.append(("database-role", roles[not is_node], roles[is_node]))
    if wanted.minting is not None:
        return (*faults, *minted_faults(wanted.minting, sight, state.files, _reference(cluster), policy, moment))
    pairs = [("client", wanted.client[server], state.files.client_certificate, state.files.client_key)]
    if is_node:
        pairs.append(("server", wanted.server[server], state.files.server_certificate, state.files.server_key))
    for use, material, certificate, key in pairs:
        faults += _pair_faults(sight, use, material, certificate, key)
    held, ca = sight.certificates(state.files.ca), wanted.ca.certificates if wanted.ca is not None else ()
    if set(held) != set(ca):
        faults.append(("database-ca-differs", names(ca), names(held)))
    return tuple(faults)


def _reference(cluster: Cluster) -> tuple[Certificate, ...]:
    """Return the CA of the member that holds the data, which all others must share; empty when it does not stand."""
    state = cluster.state(cluster.primary)
    return cluster.sights[cluster.primary].certificates(state.files.ca) if state is not None else ()


def _pair_faults(sight: Sight, use: str, material: Material, certificate: str | None, key: str | None) -> list[Fault]:
    found = sight.certificates(certificate)
    if found[:1] != (material.leaf,):
        shown = summary(found[0]) if found else "no certificate"
        return [(f"database-{use}-differs", summary(material.leaf), shown)]
    return key_faults(sight, certificate, key)
