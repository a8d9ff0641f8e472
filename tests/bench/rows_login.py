"""What long lists of host keys and an RSA key cost, as both are read once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncssh

from tests.bench.fleets import Fleet, running
from tests.bench.measure import Bench, Figure, Round, Sample
from tests.bench.processes import programs

SERVERS, OTHERS = 50, 1000
BY_PASSWORD = "  password:\n    env: CMS_PASSWORD\n"  # noqa: S105 - lines of an inventory
BY_KEY = "  key:\n    file: {}\n"


def _beside(fleet: Fleet, name: str) -> Path:
    """Copy what is needed to reach the fleet; return the inventory."""
    folder = fleet.folder / name
    shutil.copytree(fleet.inventory.parent, folder)
    return folder / fleet.inventory.name


def _with_others(fleet: Fleet) -> Path:
    """Put so many other servers before the fleet in its ``known_hosts``."""
    inventory = _beside(fleet, "others")
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode().strip()
    known = inventory.with_name("known_hosts")
    others = "".join(f"[192.0.2.{number & 255}]:{1024 + number} {key}\n" for number in range(OTHERS))
    known.write_text(others + known.read_text(encoding="utf-8"), encoding="utf-8")
    return inventory


def _with_key(fleet: Fleet, name: str, key: asyncssh.SSHKey) -> tuple[Path, str]:
    """Let the inventory log in by a key; return it, and the public key."""
    inventory = _beside(fleet, name)
    place = inventory.with_name(name)
    place.write_bytes(key.export_private_key())
    place.chmod(0o600)
    text = inventory.read_text(encoding="utf-8")
    assert BY_PASSWORD in text
    inventory.write_text(text.replace(BY_PASSWORD, BY_KEY.format(name)), encoding="utf-8")
    return inventory, key.export_public_key().decode()


@contextmanager
def _opened() -> Iterator[Round]:
    with programs() as installed, running(SERVERS) as fleet:
        others = _with_others(fleet)
        rsa, rsa_key = _with_key(fleet, "rsa", asyncssh.generate_private_key("ssh-rsa", key_size=4096))
        ed25519, ed25519_key = _with_key(fleet, "ed25519", asyncssh.generate_private_key("ssh-ed25519"))
        fleet.tell(keys=rsa_key + ed25519_key)

        def one_round() -> Mapping[str, Sample]:
            known, alone = installed.plan(others), installed.plan(fleet.inventory)
            by_rsa, by_ed25519 = installed.plan(rsa), installed.plan(ed25519)
            return {
                "login-known-hosts": Sample(known.wall, alone.wall),
                "login-rsa": Sample(by_rsa.wall, by_ed25519.wall),
            }

        yield one_round


BENCHES = (
    Bench(
        name="login",
        figures=(
            Figure(
                name="login-known-hosts",
                what=f"`plan`, {SERVERS} servers, {OTHERS:,} others in known_hosts: wall",
                reference="no others",
                unit="s",
                limit=1.3,
            ),
            Figure(
                name="login-rsa",
                what=f"`plan`, {SERVERS} servers, login by an RSA key of 4,096 bits: wall",
                reference="an Ed25519 key",
                unit="s",
                limit=1.5,
            ),
        ),
        opened=_opened,
    ),
)
