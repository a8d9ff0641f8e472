"""The script that people write: a shell, type, wait for the prompt; then each file, one after another.

``python prompt_script.py JOB``: JOB is a file that says what to ask. Tells as JSON how many seconds it took.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import asyncssh


async def main(job: dict[str, Any]) -> None:
    """Ask one server."""
    async with asyncssh.connect(
        job["address"],
        job["port"],
        username=job["user"],
        password=job["password"],
        known_hosts=job["known_hosts"],
        client_keys=None,
        agent_path=None,
        config=None,
    ) as connection:
        shell: asyncssh.SSHClientProcess[str] = await connection.create_process(term_type="vt100")
        await shell.stdout.readuntil("> ")
        for command in job["commands"]:
            shell.stdin.write(command + "\n")
            await shell.stdout.readuntil("> ")
        async with connection.start_sftp_client() as sftp:
            for name in job["files"]:
                async with sftp.open(f"/{name}", "rb") as file:
                    await file.read()


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    begun = perf_counter()
    asyncio.run(main(asked))
    sys.stdout.write(json.dumps({"wall": perf_counter() - begun}) + "\n")
