"""Inventories as large as fleets get, written by hand or by a script."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from cmscert.testing.inventories import NOW, Folder

CERTIFICATES = 40
BEFORE = "before"
"""Where the predecessors of the certificates lie."""

_HEAD = """\
version: 1
fleet: large
ssh:
  user: admin
  password: {env: CMS_PASSWORD}
  known_hosts: known_hosts
bundles:
  corp: [pki/issuing-ca.crt, pki/root-ca.crt]
"""

_SERVER = """\
  node{number}:
    address: 10.{high}.{middle}.{low}
    fqdn: node{number}.example.com
    release: "3.9"
    roles: [{role}]
    database_address: 172.{high}.{middle}.{low}
    labels:
      site: site{site}
      rack: "{site}"
      owner: conferencing
      ticket: CHG-{number}
    ssh:
      user: operator{site}
      port: 2222
      legacy: false
      timeout:
        connect: 5
        login: 20
        answer: 90
        keepalive: 30
    services:
      turn:
        certificate: shared{certificate}
        bundle: corp
        port: 443
      recorder:
        certificate: shared{certificate}
        bundle: corp
      scheduler:
        https: shared{certificate}
"""
"""Thirty lines."""

_SHORT = "  node{number}: {{address: 10.{high}.{middle}.{low}, fqdn: node{number}.example.com, roles: [{role}]}}\n"


def inventory(servers: int, *, short: bool = False) -> str:
    """Write an inventory; half of the servers are cores and half edges, and ``CERTIFICATES`` certificates are shared.

    ``short``: a line for each server instead of thirty.
    """
    shared = range(CERTIFICATES)
    certificates = "".join(_certificate(number) for number in shared)
    roles = "".join(_role(number) for number in shared)
    line = _SHORT if short else _SERVER
    text = "".join(
        line.format(
            number=number,
            high=number >> 16,
            middle=number >> 8 & 255,
            low=number & 255,
            role=f"role{number % CERTIFICATES}",
            site=number // 100,
            certificate=number % CERTIFICATES,
        )
        for number in range(servers)
    )
    return f"{_HEAD}certificates:\n{certificates}roles:\n{roles}servers:\n{text}"


def _certificate(number: int) -> str:
    files = f"{{certificate: pki/shared{number}.crt, key: pki/shared{number}.key}}"
    return f"  shared{number}: {{common_name: shared{number}.example.com, chain: corp, files: {files}}}\n"


def _role(number: int) -> str:
    """Cores trust every web bridge of the fleet, edges trust every call bridge."""
    name = f"shared{number}"
    pair = f"{{certificate: {name}, bundle: corp}}"
    if number % 2:
        bridge = f"{{https: {name}, c2w: {{certificate: {name}, trust: corp}}}}"
        return f"  role{number}: {{webadmin: {pair}, webbridge3: {bridge}}}\n"
    bridge = f"{{certificate: {name}, bundle: corp, trust: {{c2w: corp, cluster: corp}}}}"
    return f"  role{number}: {{webadmin: {pair}, callbridge: {bridge}}}\n"


def renewed(folder: Path, servers: int) -> Path:
    """Write a large inventory of short lines, with material; every certificate has a predecessor. Return its path."""
    folder.mkdir(parents=True)
    made = Folder(folder).write(inventory(servers, short=True)).mint()
    (folder / BEFORE).mkdir()
    for number in range(CERTIFICATES):
        issued = made.cas["corp"].issue(f"shared{number}.example.com", not_before=NOW - timedelta(days=30))
        (folder / BEFORE / f"shared{number}.crt").write_bytes(issued.certificate_pem)
    return made.inventory
