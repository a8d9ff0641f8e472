"""Fleets to measure on: an inventory of any size, and its simulated servers in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "admin", "lab"
CORES_OF = 3  # of this many servers the last one is an edge, as in inventories/cluster.yaml

HEAD = """\
version: 1
fleet: bench
ssh:
  user: admin
{login}
  known_hosts: {known_hosts}
  timeout: {{connect: 30, login: 60, answer: 60, keepalive: {keepalive}}}
bundles:
  corp: [pki/issuing-ca.crt, pki/root-ca.crt]
certificates:
  node:
    common_name: "{{fqdn}}"
    sans: ["{{fqdn}}"]
    chain: corp
    files: {{certificate: "pki/{{name}}.crt", key: "pki/{{name}}.key"}}
  join:
    common_name: join.example.com
    sans: [join.example.com]
    chain: corp
    files: {{certificate: pki/join.crt, key: pki/join.key}}
roles:
  core:
    webadmin: {{certificate: node, bundle: corp}}
    callbridge: {{certificate: node, bundle: corp}}
  edge:
    webadmin: {{certificate: node, bundle: corp}}
    webbridge3:
      https: {{certificate: join}}
      c2w: {{certificate: node}}
    turn: {{certificate: join, bundle: corp}}
servers:
"""


def inventory(
    count: int, *, login: str = "  password: {env: CMS_PASSWORD}", known_hosts: str = "known_hosts", keepalive: int = 30
) -> str:
    """Return an inventory of servers like those of inventories/cluster.yaml.

    Without the database, and without trust between servers: a thousand of them are no single cluster.
    """
    lines = [HEAD.format(login=login, known_hosts=known_hosts, keepalive=keepalive)]
    for number in range(count):
        role = "edge" if number % CORES_OF == CORES_OF - 1 else "core"
        name, address = f"{role}{number:05}", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        lines.append(f'  {name}: {{address: {address}, fqdn: {name}.example.com, release: "3.9", roles: [{role}]}}\n')
    return "".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Servers that run. ``folder`` has their inventory; they do what ``tell`` says."""

    folder: Path
    process: subprocess.Popen[str]

    @property
    def inventory(self) -> Path:
        """The inventory that reaches them."""
        return self.folder / "lab" / "inventory.yaml"

    @property
    def jobs(self) -> Path:
        """What the floor asks, once ``note_jobs`` has written it."""
        return self.folder / "jobs.json"

    def note_jobs(self, asked: dict[str, Any]) -> None:
        """Write what was asked for the floor to ask it again."""
        known_hosts = self.inventory.parent / "known_hosts"
        jobs = {"user": USER, "password": PASSWORD, "known_hosts": str(known_hosts), "servers": list(asked.values())}
        self.jobs.write_text(json.dumps(jobs), encoding="utf-8")

    def tell(self, **order: object) -> Any:  # noqa: ANN401 - whatever the servers answer
        """Give the servers an order and return what they answer; ``tests/bench/nodes.py`` says which there are."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def running(
    count: int, *, delay: float = 0.0, channels: int | None = None, login: str | None = None, keepalive: int = 30
) -> Iterator[Fleet]:
    """Start servers. ``delay``: seconds before each answer; ``channels``: most at once on a connection.

    ``login``: the lines of the inventory that say how to log in; by password without them.
    """
    with tempfile.TemporaryDirectory(prefix="cmscert-bench-") as made:
        folder = Path(made)
        said = {} if login is None else {"login": login}
        (folder / "inventory.yaml").write_text(inventory(count, keepalive=keepalive, **said), encoding="utf-8")
        command = [sys.executable, "-m", "tests.bench.nodes", str(folder)]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            fleet = Fleet(folder=folder, process=process)
            fleet.tell(delay=delay, channels=channels)
            yield fleet
        finally:
            assert process.stdin is not None
            process.stdin.close()  # they end with their orders
            process.wait(60)
