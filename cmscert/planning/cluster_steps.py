"""The only safe order in which a database cluster gets new certificates (procedure section 2, facts 5.7).

Material and checks first, then backups, a last look at who is primary, clients out, replicas out, primary out; then
certificates everywhere, ``initialize`` on the former primary only, the others join one by one, clients connect. There
is no way back after the first ``remove``, only forward: a run that dies is continued by the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from cmscert.model.database import DatabaseFiles
from cmscert.model.desired import Bundle, Material
from cmscert.model.plan import (
    BackupDatabase,
    CheckFiles,
    ClearDatabaseError,
    ConfigureDatabase,
    ConfirmPrimary,
    ConnectCluster,
    CopyFile,
    DatabaseAction,
    Impact,
    InitializeCluster,
    JoinCluster,
    LeaveCluster,
    ProveCluster,
    PutFile,
    UpgradeSchema,
)
from cmscert.planning.cluster import Cluster
from cmscert.planning.cluster_drift import slot_of
from cmscert.planning.file_names import bundle_name, certificate_name, content_id, file_bytes, key_name, stem_of
from cmscert.planning.minting import mint, minted_files
from cmscert.planning.steps import Draft, Drafting

SECONDS = {"db-remove": 30, "db-initialize": 60, "db-join": 120, "db-connect": 30, "db-upgrade-schema": 60}
NOTICES = "call bridges have no database: no spaces, no web app sign-in"


@dataclass(kw_only=True)
class _Rebuilding:
    cluster: Cluster
    drafting: Drafting
    moment: datetime
    after: list[Draft]
    drafts: list[Draft] = field(default_factory=list)

    def add(self, server: str, action: DatabaseAction, because: str, after: list[Draft]) -> Draft:
        """Draft one step of the cluster."""
        seconds = SECONDS.get(action.kind)
        override = self.drafting.policy.seconds.get("database")
        impact = None
        if seconds is not None:
            impact = Impact(service=slot_of(self.cluster), notices=NOTICES, seconds=override or seconds)
        draft = Draft(
            server, slot_of(self.cluster), action, (because,), after=list(dict.fromkeys(after)), impact=impact
        )
        self.drafts.append(draft)
        return draft


def draft_cluster(
    cluster: Cluster, drafting: Drafting, gate: Draft, services: list[Draft], moment: datetime
) -> list[Draft]:
    """Return the drafts of a cluster; uploads and checks go to ``drafting.early``, in front of the gate.

    ``services``: disturbing drafts that come first, so that call bridges are not stopped twice at once.
    """
    work = _Rebuilding(cluster=cluster, drafting=drafting, moment=moment, after=services or [gate])
    minting = cluster.wanted.minting
    if "unread" in {cluster.phases[name] for name in (cluster.primary, minting.server if minting else cluster.primary)}:
        return []
    changing = _changing(cluster)
    if changing:
        give = _minted if cluster.wanted.minting is not None else _from_files
        _build(work, changing, give(work, changing))
    else:
        _mend(work)
    if not work.drafts and cluster.noted is not None:
        _prove(work, work.after)  # a rebuild came to its end and was not proven: the note about it must not stay
    return work.drafts


def _changing(cluster: Cluster) -> tuple[str, ...]:
    """Members that leave, or are in no cluster: all of them in a rebuild."""
    known = [name for name in cluster.wanted.members if cluster.phases[name] != "unread"]
    if cluster.is_rebuilt:
        return tuple(known)
    return tuple(name for name in known if cluster.phases[name] != "right")


def _from_files(work: _Rebuilding, changing: tuple[str, ...]) -> dict[str, DatabaseFiles]:
    """Put and check the material that the inventory names."""
    ca = work.cluster.wanted.ca
    return {name: _material(work, name, ca) for name in changing} if ca is not None else {}


def _minted(work: _Rebuilding, changing: tuple[str, ...]) -> dict[str, DatabaseFiles]:
    """Make material on one node, or take that of a cluster that stands, and copy it to the members that change."""
    cluster = work.cluster
    minting, state = cluster.wanted.minting, cluster.state(cluster.primary)
    made: list[Draft] = []
    source = cluster.primary
    if minting is not None and (cluster.is_rebuilt or state is None):
        source = minting.server
        action = mint(minting, cluster.sights.values(), work.moment)
        made = [Draft(source, slot_of(cluster), action, ("the CA built into CMS makes the material",))]
        work.drafting.early += made
        files = minted_files(action)
    else:
        files = state.files if state is not None else DatabaseFiles()
    return {name: _copied(work, name, source, files, made) for name in changing}


def _copied(work: _Rebuilding, server: str, source: str, files: DatabaseFiles, made: list[Draft]) -> DatabaseFiles:
    if server in work.cluster.wanted.clients:
        files = replace(files, server_key=None, server_certificate=None)
    copies = made
    if server != source:
        because = ("all members share one material",)
        copies = [Draft(server, None, CopyFile(file=name, source=source), because, list(made)) for name in files.names]
        work.drafting.early += copies
    for key, certificate in (
        (files.server_key, files.server_certificate),
        (files.client_key, files.client_certificate),
    ):
        if key is not None and certificate is not None:
            check = CheckFiles(key=key, certificate=certificate, bundle=files.ca)
            work.drafting.early.append(Draft(server, None, check, ("the server itself checks the pair",), list(copies)))
    return files


def _material(work: _Rebuilding, server: str, ca_bundle: Bundle) -> DatabaseFiles:
    """Put and check the files of a member: five on a node, three on a client."""
    wanted = work.cluster.wanted
    ca = file_bytes(ca_bundle.certificates)
    ca_file = _put(work, server, bundle_name(ca_bundle.name, ca), "bundle", ca, None)
    client_key, client = _pair(work, server, wanted.client[server], ca_file)
    if server not in wanted.nodes:
        return DatabaseFiles(client_key=client_key, client_certificate=client, ca=ca_file)
    server_key, certificate = _pair(work, server, wanted.server[server], ca_file)
    return DatabaseFiles(
        server_key=server_key,
        server_certificate=certificate,
        client_key=client_key,
        client_certificate=client,
        ca=ca_file,
    )


def _pair(work: _Rebuilding, server: str, material: Material, ca_file: str) -> tuple[str, str]:
    content = file_bytes((material.leaf,))
    certificate = certificate_name(material.certificate, material.leaf, content)
    key = key_name(material.certificate, material.leaf, material.spki)
    _put(work, server, certificate, "certificate", content, None)
    _put(work, server, key, "key", None, material.spki)
    check = Draft(
        server,
        None,
        CheckFiles(key=key, certificate=certificate, bundle=ca_file),
        ("the server itself checks the pair",),
    )
    check.after = [work.drafting.put[server, name] for name in (ca_file, certificate, key)]
    work.drafting.early.append(check)
    return key, certificate


def _put(work: _Rebuilding, server: str, name: str, role: str, content: bytes | None, spki: str | None) -> str:
    """Put a file once per server; what is there already is put again, which changes nothing and proves it whole."""
    if (server, name) in work.drafting.put:
        return name
    named = f"spki:{spki}" if content is None else content_id(content)
    if content is not None:
        work.drafting.contents[named] = content
    put = PutFile(file=name, content=named, role=role)  # type: ignore[arg-type]  # one of the three words, see callers
    draft = Draft(server, None, put, (f"wanted by {slot_of(work.cluster)}",))
    work.drafting.put[server, name] = draft
    work.drafting.early.append(draft)
    return name


def _build(work: _Rebuilding, changing: tuple[str, ...], files: dict[str, DatabaseFiles]) -> None:
    cluster, wanted = work.cluster, work.cluster.wanted
    primary = cluster.primary
    backups = _backups(work, changing)
    ready = [*work.after, *backups]
    if cluster.is_rebuilt and primary in cluster.standing:
        confirm = ConfirmPrimary(database=wanted.name, server=primary)
        ready = [work.add(primary, confirm, "the one that holds the data is looked up once more", ready)]
    left = _leave(work, changing, ready)
    configured = {
        name: work.add(
            name,
            ConfigureDatabase(files=files[name], interface=wanted.interface),
            "certificates can only be set outside of a cluster",
            left or ready,
        )
        for name in changing
    }
    stands = list(configured.values())
    if cluster.is_rebuilt:
        because = "its rows become the truth of the new cluster"
        stands = [work.add(primary, InitializeCluster(), because, stands)]
    last = _join(work, changing, configured, stands)
    _prove(work, last)


def _backups(work: _Rebuilding, changing: tuple[str, ...]) -> list[Draft]:
    """Back up every node with a database before anything leaves: in a rebuild all, otherwise those that leave."""
    cluster = work.cluster
    backup = BackupDatabase(name=f"{stem_of(cluster.wanted.name)[:40]}-{work.moment:%Y%m%d-%H%M%S}")
    return [
        work.add(name, backup, "the way back of last resort", work.after)
        for name in cluster.wanted.nodes
        if name in changing
    ]


def _leave(work: _Rebuilding, changing: tuple[str, ...], ready: list[Draft]) -> list[Draft]:
    """Clients first, then replicas one by one, the primary last."""
    cluster = work.cluster
    leaving = [name for name in changing if name in cluster.standing]
    clients = [name for name in leaving if name in cluster.wanted.clients]
    replicas = [name for name in leaving if name in cluster.wanted.nodes and name != cluster.primary]
    because = "certificates cannot change while the server is part of a cluster"
    last = [work.add(name, LeaveCluster(), because, ready) for name in clients] or ready
    for name in [*replicas, *(name for name in leaving if name == cluster.primary)]:
        last = [work.add(name, LeaveCluster(), because, last)]
    return last


def _join(
    work: _Rebuilding, changing: tuple[str, ...], configured: dict[str, Draft], stands: list[Draft]
) -> list[Draft]:
    """Replicas one by one, each in sync before the next; then the clients."""
    cluster = work.cluster
    address = cluster.address(cluster.primary)
    last = stands
    for name in changing:
        if name in cluster.wanted.nodes and name != (cluster.primary if cluster.is_rebuilt else None):
            because = "its own rows are overwritten by those of the primary"
            last = [work.add(name, JoinCluster(primary=address), because, [*last, configured[name]])]
    clients = [name for name in changing if name in cluster.wanted.clients]
    connected = [
        work.add(name, ConnectCluster(primary=address), "it has no database of its own", [*last, configured[name]])
        for name in clients
    ]
    return connected or last


def _mend(work: _Rebuilding) -> None:
    """Clear an error that the status asks to be cleared (T-51: a schema that could not be upgraded)."""
    cluster = work.cluster
    asking = [name for name in cluster.standing if _asks_for_schema(cluster, name)]
    if not asking:
        return
    last = work.after
    for name in asking:
        last = [work.add(name, ClearDatabaseError(), "its status shows an error", last)]
    last = [work.add(cluster.primary, UpgradeSchema(), "the status asks for it", last)]
    _prove(work, last)


def _asks_for_schema(cluster: Cluster, server: str) -> bool:
    state = cluster.state(server)
    return state is not None and state.error is not None and "schema" in state.error.casefold()


def _prove(work: _Rebuilding, last: list[Draft]) -> None:
    cluster = work.cluster
    addresses = tuple(cluster.address(name) for name in cluster.wanted.nodes if cluster.phases[name] != "unread")
    prove = ProveCluster(database=cluster.wanted.name, members=addresses)
    for name in cluster.wanted.members:
        if cluster.phases[name] != "unread":
            work.add(name, prove, "every member must be connected and in sync", last)
