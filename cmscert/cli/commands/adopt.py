"""``cmscert adopt``."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from cmscert.cli.exit_codes import DONE, NODE
from cmscert.cli.options import FORMAT, LOG_FORMAT, NO_COLOR, PARALLEL, VERBOSE, talks
from cmscert.cli.output import Output
from cmscert.errors import NotConfirmed

if TYPE_CHECKING:
    from cmscert.app.adopted import AdoptedLogin, Target
    from cmscert.model.adoption import Adoption, ShownHostKey

_TARGET = re.compile(
    r"(?P<user>[^\s@:/\x00-\x1f]{1,64})@(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<host>[A-Za-z0-9_][A-Za-z0-9._-]{0,252}))"
    r"(?::(?P<port>\d{1,5}))?"
)
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LAST_PORT = 65535


class Ways(TypedDict):
    """How to log in, as the options say it."""

    password_env: str | None
    password_file: Path | None
    key: Path | None
    key_passphrase_env: str | None
    agent: bool
    legacy: bool


def _targets(_context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[Target, ...]:
    """Read USER@ADDRESS[:PORT]; an IPv6 address stands in brackets."""
    from cmscert.app.adopted import SSH_PORT, Target

    found: list[Target] = []
    for value in values:
        parts = _TARGET.fullmatch(value)
        port = int(parts["port"] or SSH_PORT) if parts is not None else 0
        if parts is None or not 0 < port <= _LAST_PORT:
            raise click.BadParameter("write USER@ADDRESS or USER@ADDRESS:PORT, IPv6 in brackets", param=option)
        found.append(Target(user=parts["user"], address=parts["v6"] or parts["host"], port=port))
    if len({one.place.lower() for one in found}) < len(found):
        raise click.BadParameter("the same address and port is named twice", param=option)
    return tuple(found)


def _matching(expression: re.Pattern[str], message: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - click's callback
    def check(_context: click.Context, option: click.Parameter, value: str | tuple[str, ...] | None) -> object:
        for each in (value,) if isinstance(value, str) else value or ():
            if expression.fullmatch(each) is None:
                raise click.BadParameter(message, param=option)
        return value

    return check


@click.command("adopt", short_help="Write an inventory of a live fleet; reads only.")
@click.argument("targets", nargs=-1, required=True, metavar="USER@ADDRESS[:PORT]...", callback=_targets)
@click.option(
    "--output",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="New folder for inventory, certificates and host keys.",
)
@click.option(
    "--password-env",
    metavar="VAR",
    callback=_matching(_VARIABLE, "name an environment variable"),
    help="Environment variable that holds the password.",
)
@click.option("--password-file", type=click.Path(path_type=Path), metavar="FILE", help="File that holds the password.")
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="Private SSH key to log in with.")
@click.option(
    "--key-passphrase-env",
    metavar="VAR",
    callback=_matching(_VARIABLE, "name an environment variable"),
    help="Environment variable that holds the passphrase of --key.",
)
@click.option("--agent", is_flag=True, help="Log in with the SSH agent.")
@click.option("--legacy", is_flag=True, help="Also offer ssh-rsa and group14-sha1, for 2.x.")
@click.option(
    "--known-hosts",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Host keys that are right; others are asked about.",
)
@click.option(
    "--host-key",
    "host_keys",
    multiple=True,
    metavar="SHA256:...",
    callback=_matching(_FINGERPRINT, "write the fingerprint as ssh-keygen -l does: SHA256: and 43 characters"),
    help="Fingerprint of a host key that is right; repeatable.",
)
@click.option(
    "--fleet",
    metavar="NAME",
    callback=_matching(_NAME, "use letters, digits, hyphens, dots and underscores, a letter or digit first"),
    help="Name of the fleet (that of the folder).",
)
@click.option("--yes", is_flag=True, help="Write without asking; host keys are asked about all the same.")
@PARALLEL
@talks(FORMAT, VERBOSE, LOG_FORMAT, NO_COLOR)
def command(
    output: Output,
    targets: tuple[Target, ...],
    folder: Path,
    known_hosts: Path | None,
    host_keys: tuple[str, ...],
    fleet: str | None,
    parallel: int,
    *,
    yes: bool,
    **ways: Unpack[Ways],
) -> int:
    """Read a live fleet and write an inventory that asks for exactly what it holds.

    Certificates, bundles and trust lists are written too, private keys never: they stay on the servers. Host keys are
    shown, and nothing secret is sent before they are confirmed.
    """
    import asyncio

    from cmscert.app.adopt import AdoptOptions, AdoptTalk, adopt
    from cmscert.app.clock import utc_now
    from cmscert.app.ports import live_ports
    from cmscert.cli.program import program
    from cmscert.reports.adopt_text import adopt_document, adopted_text

    options = AdoptOptions(
        targets=targets,
        login=_login(**ways),
        output=folder,
        fleet=fleet or _fleet_of(folder),
        known_hosts=known_hosts,
        host_keys=frozenset(host_keys),
        parallel=parallel,
    )
    asking = _Asking(output, yes=yes)
    ports = live_ports(output.note(), output.say)
    talk = AdoptTalk(trust=asking.trust, write=asking.write)
    made = asyncio.run(adopt(options, ports, talk, now=utc_now()))
    if output.form == "json":
        output.document(adopt_document(made.adoption, made.failures))
    elif made.adoption is not None:
        width, colour = output.result_width, output.result_colour
        output.result(adopted_text(made.adoption, program=program(), width=width, colour=colour))
    output.failures(made.failures)
    return NODE if made.failures else DONE


class _Asking:
    """What is asked on the way."""

    def __init__(self, output: Output, *, yes: bool) -> None:
        self.output = output
        self.yes = yes

    async def trust(self, shown: tuple[ShownHostKey, ...]) -> bool:
        """Show host keys that nobody gave as right, and ask."""
        from cmscert.cli.asking import agrees
        from cmscert.reports.adopt_text import host_keys_text

        self.output.say(host_keys_text(shown))
        if not sys.stdin.isatty():
            given = " ".join(f"--host-key {one.fingerprint}" for one in shown if not one.known)
            raise NotConfirmed(
                "nothing was sent to any server: there is no terminal to confirm host keys on",
                hint=f"compare them, then give them as --known-hosts FILE or with {given}",
            )
        return await agrees("Are all of them right? Type yes: ", err=self.output.err)

    async def write(self, found: Adoption) -> bool:
        """Show what was found; ask where there is somebody to ask."""
        from cmscert.cli.asking import agrees
        from cmscert.reports.adopt_text import found_text

        output = self.output
        stream = output.err if output.form == "json" else output.out
        stream.write(found_text(found, width=output.width(stream), colour=output.colour(stream)))
        stream.flush()
        if self.yes or not sys.stdin.isatty():
            return True
        return await agrees(f"\nWrite this to {found.folder}? Type yes: ", err=output.err)


def _login(**given: Unpack[Ways]) -> AdoptedLogin:
    """Return the one way to log in. Raises UsageError where none is given, or several."""
    from cmscert.app.adopted import AdoptedLogin
    from cmscert.model.login import SecretRef

    names = ("password_env", "password_file", "key", "agent")
    if sum(bool(given[name]) for name in names) != 1:  # type: ignore[literal-required]  # names of the mapping
        raise click.UsageError("say how to log in with one of --password-env, --password-file, --key and --agent")
    if given["key_passphrase_env"] is not None and given["key"] is None:
        raise click.UsageError("--key-passphrase-env goes with --key")

    def file(path: Path | None) -> SecretRef | None:
        return None if path is None else SecretRef(kind="file", value=(str(path.expanduser().absolute()),))

    def env(name: str | None) -> SecretRef | None:
        return None if name is None else SecretRef(kind="env", value=(name,))

    return AdoptedLogin(
        password=env(given["password_env"]) or file(given["password_file"]),
        key=file(given["key"]),
        key_passphrase=env(given["key_passphrase_env"]),
        agent=given["agent"],
        legacy=given["legacy"],
    )


def _fleet_of(folder: Path) -> str:
    from cmscert.planning.adopting.names import SERVER, slug

    return slug(folder.absolute().name, longest=SERVER, otherwise="fleet")
