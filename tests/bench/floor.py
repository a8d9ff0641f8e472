"""The floor: what the same questions cost a bare asyncssh script, which understands none of the answers.

``python -m tests.bench.floor JOBS``: JOBS is a file that says what to ask which server (``tests/bench/nodes.py``). For
each server one connection, the commands one after another, a channel each, and beside them SFTP: the list of files and
then all files at once. aes-gcm first, known_hosts and key loaded once, 32 servers connecting at a time. With
``--side-by-side`` the commands of a server are asked all at once too. Tells as JSON the memory (KiB) before the first
connection and at its most, and how many bytes came.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import asyncssh

CONNECTING = 32
CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"


async def _file(sftp: asyncssh.SFTPClient, name: str) -> int:
    async with sftp.open(f"/{name}", "rb") as file:
        return len(await file.read(1 << 20))


async def _files(connection: asyncssh.SSHClientConnection, names: list[str]) -> int:
    async with connection.start_sftp_client() as sftp:
        listed = await sftp.listdir(".")
        return len(listed) + sum(await asyncio.gather(*(_file(sftp, name) for name in names)))


async def _command(connection: asyncssh.SSHClientConnection, command: str) -> int:
    return len((await connection.run(command, encoding=None)).stdout or b"")


async def _commands(connection: asyncssh.SSHClientConnection, commands: list[str], *, at_once: bool) -> int:
    if at_once:
        return sum(await asyncio.gather(*(_command(connection, command) for command in commands)))
    return sum([await _command(connection, command) for command in commands])


async def _server(job: dict[str, Any], options: dict[str, Any], limit: asyncio.Semaphore, *, at_once: bool) -> int:
    async with limit:
        connection = await asyncssh.connect(job["address"], job["port"], **options)
    try:
        commands = _commands(connection, job["commands"], at_once=at_once)
        return sum(await asyncio.gather(commands, _files(connection, job["files"])))
    finally:
        connection.close()
        await connection.wait_closed()


async def main(jobs: dict[str, Any], *, at_once: bool) -> int:
    """Ask every server, and return how many bytes came."""
    options: dict[str, Any] = {
        "username": jobs["user"],
        "known_hosts": asyncssh.import_known_hosts(jobs["known_hosts"]),
        "encryption_algs": CIPHERS,
        "config": None,
        "agent_path": None,
        "password": jobs["password"],
        "client_keys": None,
        "preferred_auth": "password",
    }
    limit = asyncio.Semaphore(CONNECTING)
    return sum(await asyncio.gather(*(_server(job, options, limit, at_once=at_once) for job in jobs["servers"])))


def memory() -> int:
    """Return the most memory so far, in KiB."""
    return getrusage(RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    asked["known_hosts"] = Path(asked["known_hosts"]).read_text(encoding="utf-8")
    before = memory()
    came = asyncio.run(main(asked, at_once="--side-by-side" in sys.argv))
    sys.stdout.write(json.dumps({"before": before, "most": memory(), "bytes": came}) + "\n")
