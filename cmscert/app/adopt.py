"""``adopt``: from addresses and a login to an inventory that plans to nothing. Reads, and writes one new folder."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cmscert.app.adopted import AdoptedLogin, Target, described, finding_remarks, inventory_text, logins
from cmscert.app.fleet import PARALLEL, Entry, Reached, Sighted, observe, reach
from cmscert.app.inventory import choose
from cmscert.app.plan import Recalled, compare
from cmscert.app.ports import Ports
from cmscert.errors import Fault, HostKeyRefused, InputError, NodeError, NotConfirmed, RefusedError
from cmscert.files import write_whole
from cmscert.inventory.secrets import resolve, resolve_bytes
from cmscert.mmp.replies import clean
from cmscert.mmp.services import SERVICES
from cmscert.model.adoption import Adoption, ShownHostKey
from cmscert.model.desired import Desired, LookedAt, Policy, WantedServer
from cmscert.model.login import Login, SecretRef
from cmscert.model.plan import Plan
from cmscert.model.readings import Known
from cmscert.model.secret import Secret
from cmscert.model.unfinished import NOTHING_UNFINISHED
from cmscert.pki.pem import to_pem
from cmscert.planning.adopting.draft import Draft, draft
from cmscert.planning.adopting.found import Node
from cmscert.planning.adopting.names import hostname_of
from cmscert.transport.credentials import Credentials
from cmscert.transport.known_hosts import HostKey, KnownHosts, host_line, known_hosts_of, load_known_hosts
from cmscert.transport.session import ReadSession

KNOWN_HOSTS = "known_hosts"
_LOG, _LOG_TAIL = "log", 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptOptions:
    """``output``: the folder that is made.

    ``known_hosts``, ``host_keys``: host keys that are right, as a file and as fingerprints.
    """

    targets: tuple[Target, ...]
    login: AdoptedLogin
    output: Path
    fleet: str
    known_hosts: Path | None = None
    host_keys: frozenset[str] = frozenset()
    parallel: int = PARALLEL


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptTalk:
    """What is asked of whoever started it: whether host keys are right, and whether to write what was found."""

    trust: Callable[[tuple[ShownHostKey, ...]], Awaitable[bool]]
    write: Callable[[Adoption], Awaitable[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptResult:
    """What was made, None where no server could be read, and the errors of those that could not."""

    adoption: Adoption | None
    failures: Mapping[str, NodeError]


async def adopt(options: AdoptOptions, ports: Ports, talk: AdoptTalk, *, now: datetime) -> AdoptResult:
    """Read every server and write an inventory of what they hold. ``now`` is aware UTC.

    Nothing secret is sent before the host keys are known to be right. Raises RefusedError where the folder is there
    already or somebody says no, SecretError, and InputError where what was written cannot be read back.
    """
    check_free(options.output)
    credentials = _credentials(options.login)
    wanted = logins(options.targets, options.login, known_hosts=str(options.output / KNOWN_HOSTS))
    offers, failures = await _host_keys(wanted, options)
    hosts = await _trusted(wanted, offers, failures, options, talk)
    entry = {name: (wanted[name], credentials, hosts.entries) for name in offers if name not in failures}
    nodes, failures = await _read(entry, ports, options, failures)
    if not nodes:
        return AdoptResult(adoption=None, failures=failures)
    made = draft(nodes, fleet=options.fleet, table=SERVICES, moment=now)
    adoption = described(made, nodes, failures, folder=options.output, fleet=options.fleet)
    if not await talk.write(adoption):
        raise NotConfirmed("nothing was written: nobody said yes", hint="say so with --yes")
    text = inventory_text(made, nodes, options.login, failures)
    inventory = _write(options, made, text, hosts.lines)
    plan = _plan(inventory, made, nodes, now)
    findings = finding_remarks(made, plan)
    if findings is not None:
        text = inventory_text(replace(made, remarks=findings), nodes, options.login, failures)
        write_whole(inventory, text.encode())
    return AdoptResult(adoption=replace(adoption, plan=plan), failures=failures)


def check_free(folder: Path) -> None:
    """Refuse a folder that is there and not empty: what stands in it is never overwritten."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir() or any(folder.iterdir()):
        raise RefusedError(
            f"{folder} is there already: nothing was read and nothing is overwritten",
            hint="name another folder with --output, or move that one away",
        )


def _credentials(login: AdoptedLogin) -> Credentials:
    """Look up what the log-in needs, once for all servers. Raises SecretError before anything is connected to."""
    here = Path.cwd()

    def word(ref: SecretRef | None) -> Secret[str] | None:
        return None if ref is None else resolve(ref, folder=here)

    return Credentials(
        password=word(login.password),
        key=None if login.key is None else resolve_bytes(login.key, folder=here),
        key_passphrase=word(login.key_passphrase),
    )


async def _host_keys(
    wanted: Mapping[str, Login], options: AdoptOptions
) -> tuple[dict[str, HostKey], dict[str, NodeError]]:
    """Ask every server for its host key, all at once."""
    from cmscert.transport.login import offered_host_key

    known = _given(options)
    limit = asyncio.Semaphore(options.parallel)

    async def one(login: Login) -> HostKey | NodeError:
        async with limit:
            try:
                return await offered_host_key(login, known)
            except NodeError as error:
                return error

    found = dict(zip(wanted, await asyncio.gather(*map(one, wanted.values())), strict=True))
    return (
        {name: each for name, each in found.items() if isinstance(each, HostKey)},
        {name: each for name, each in found.items() if isinstance(each, NodeError)},
    )


def _given(options: AdoptOptions) -> KnownHosts:
    if options.known_hosts is None:
        return known_hosts_of("", path=KNOWN_HOSTS)
    return load_known_hosts(options.known_hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hosts:
    """Host keys that are right, for the connections and as the lines of a file."""

    entries: KnownHosts
    lines: str = field(default="")


async def _trusted(
    wanted: Mapping[str, Login],
    offers: Mapping[str, HostKey],
    failures: dict[str, NodeError],
    options: AdoptOptions,
    talk: AdoptTalk,
) -> _Hosts:
    """Have every host key confirmed that was not given as right. A changed one is no question: it is refused."""
    given = _given(options)
    shown: list[ShownHostKey] = []
    for name, key in offers.items():
        login = wanted[name]
        listed = {each.get_fingerprint() for each in given.keys(login.address, login.address, login.port)[0]}
        if listed and key.fingerprint not in listed:
            failures[name] = HostKeyRefused(
                name,
                f"its host key has changed: it offers {key.kind} {key.fingerprint}, but {given.path} lists "
                f"{', '.join(sorted(listed))}",
                hint="somebody may be in between: compare it with the one at the server's console",
            )
            continue
        known = key.fingerprint in listed or key.fingerprint in options.host_keys
        shown.append(ShownHostKey(server=name, kind=key.kind, fingerprint=key.fingerprint, known=known))
    if not all(one.known for one in shown) and not await talk.trust(tuple(shown)):
        raise NotConfirmed(
            "nothing was sent to any server: not every host key was confirmed",
            hint="compare them with the servers' consoles, and find out who answers in their place",
        )
    lines = "".join(host_line(wanted[one.server].address, wanted[one.server].port, offers[one.server]) for one in shown)
    return _Hosts(entries=known_hosts_of(lines, path=str(options.output / KNOWN_HOSTS)), lines=lines)


async def _read(
    entry: Mapping[str, Entry], ports: Ports, options: AdoptOptions, failures: Mapping[str, NodeError]
) -> tuple[tuple[Node, ...], dict[str, NodeError]]:
    """Read every server through sessions that cannot write; nodes in the order of the command line."""
    everything = tuple(
        LookedAt(slot=slot) for slot in dict.fromkeys(slot.name for row in SERVICES for slot in row.slots)
    )
    desired = Desired(
        fleet=options.fleet,
        servers=tuple(
            WantedServer(name=name, address=login.address, fqdn=login.address, looked_at=everything)
            for name, (login, _, _) in entry.items()
        ),
        policy=Policy(),
        inventory_sha256="",
    )
    async with reach(entry, ports.reader, parallel=options.parallel) as reached:
        sighted = await observe(reached, desired, entry, ports, members=frozenset(entry))
        hostnames = await _hostnames(reached, sighted)
    lost = {**failures, **sighted.failures}
    nodes: list[Node] = []
    for name, (login, _, _) in entry.items():
        seen = sighted.observed[name]
        if isinstance(seen.reached, Known):
            hostname = hostnames.get(name)
            nodes.append(
                Node(address=login.address, port=login.port, user=login.user, observed=seen, hostname=hostname)
            )
        elif name not in lost:
            lost[name] = NodeError(name, seen.reached.why if seen.reached.kind == "unread" else "it told nothing")
    return tuple(nodes), lost


async def _hostnames(reached: Reached[ReadSession], sighted: Sighted) -> dict[str, str | None]:
    """Return what servers call themselves in their logs, as far as these can be read."""

    async def one(name: str) -> str | None:
        try:
            tail = await reached.sessions[name].read_tail(_LOG, _LOG_TAIL)
        except NodeError:
            return None
        return hostname_of(clean(tail or b""))

    names = [name for name in reached.sessions if name not in sighted.failures]
    return dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))


def _write(options: AdoptOptions, made: Draft, text: str, hosts: str) -> Path:
    """Write the folder beside its place, then put it there as a whole. Raises RefusedError and InputError."""
    target = options.output.absolute()
    beside = target.with_name(f".{target.name[:100]}.{os.urandom(8).hex()}")
    contents = {f"{options.fleet}.yaml": text.encode(), KNOWN_HOSTS: hosts.encode()}
    contents |= {path: to_pem([certificate]) for path, certificate in made.files.items()}
    try:
        beside.mkdir(parents=True)
        for path, content in contents.items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            write_whole(beside / path, content)
        check_free(options.output)
        beside.rename(target)
    except OSError as error:
        why = (error.strerror or "it cannot be written").lower()
        fault = Fault(file=str(options.output), message=f"cannot be written: {why}", reason="output")
        raise InputError([fault], hint="name another folder with --output") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return options.output / f"{options.fleet}.yaml"


def _plan(inventory: Path, made: Draft, nodes: tuple[Node, ...], now: datetime) -> Plan:
    """Read back what was written, and compare it with what was read. Raises InputError."""
    chosen = choose(inventory, now=now)
    observed = {name: replace(node.observed, name=name) for name, node in zip(made.names, nodes, strict=True)}
    sighted = Sighted(observed=observed, failures={})
    return compare(chosen, sighted, now, Recalled(primaries={}, unfinished=NOTHING_UNFINISHED)).plan
