"""OpenSSH and OpenSSL judge the lab: what they can log in to and see is not the lab's own opinion."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cmscert.lab.fleet import LabFleet
from cmscert.lab.node import LabNode
from cmscert.lab.spec import NodeSpec, ServiceSpec, SlotSpec, Switches

Authority = Any  # a fixture's class, which only conftest.py can name
StartNode = Callable[..., Awaitable[LabNode]]

openssh = pytest.mark.judge("openssh-client")
openssl = pytest.mark.judge("openssl")


async def _run(*command: str, typed: bytes = b"", env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a program while the event loop serves the lab; returns its exit code and everything that it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | (env or {}),
    )
    said, _ = await asyncio.wait_for(process.communicate(typed), 30)
    assert process.returncode is not None
    return process.returncode, said.decode()


class Client:
    """OpenSSH's options for one node, with its host key known and its password given by a script."""

    def __init__(self, folder: Path, known_hosts: str, port: int) -> None:
        (folder / "known_hosts").write_text(known_hosts, encoding="utf-8")
        script = folder / "askpass"
        script.write_text("#!/bin/sh\necho lab\n", encoding="utf-8")
        script.chmod(0o700)
        self.env = {"SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force", "SSH_AUTH_SOCK": ""}
        self.options = (
            "-F",
            "none",
            *("-o", f"UserKnownHostsFile={folder / 'known_hosts'}"),
            *("-o", "GlobalKnownHostsFile=/dev/null"),
            *("-o", "StrictHostKeyChecking=yes"),
            *("-o", f"Port={port}"),
            *("-o", "NumberOfPasswordPrompts=1"),
        )

    async def ssh(self, *arguments: str, typed: bytes = b"") -> tuple[int, str]:
        """Run ssh as admin."""
        before = [argument for argument in arguments if argument.startswith("-")]
        after = [argument for argument in arguments if not argument.startswith("-")]
        return await _run("ssh", *self.options, *before, "admin@127.0.0.1", *after, typed=typed, env=self.env)

    async def sftp(self, batch: str) -> tuple[int, str]:
        """Run sftp as admin; -b turns passwords off, unless told otherwise before."""
        options = (*self.options, "-o", "BatchMode=no", "-b", "-")
        return await _run("sftp", *options, "admin@127.0.0.1", typed=batch.encode(), env=self.env)


@pytest.fixture
async def client(tmp_path: Path, start_node: StartNode) -> tuple[Client, LabNode]:
    """A node and an OpenSSH that knows it."""
    node = await start_node(files={"root.crt": b"a root\n"})
    assert node.server is not None
    line = f"[127.0.0.1]:{node.ssh_port} {node.server.host_key}\n"
    return Client(tmp_path, line, node.ssh_port), node


@openssh
async def test_exec_with_a_password(client: tuple[Client, LabNode]) -> None:
    """``ssh admin@node version`` logs in with the password and prints the answer alone."""
    ssh, node = client
    assert await ssh.ssh("version") == (0, "3.9\n")
    assert node.commands == ["version"]


@openssh
async def test_a_shell_under_a_pty(client: tuple[Client, LabNode]) -> None:
    """``ssh -tt`` gets a prompt, an echo, CRLF, and ends with ``exit``."""
    ssh, _ = client
    code, said = await ssh.ssh("-tt", typed=b"version\nexit\n")
    assert code == 0
    assert "cms01> version\r\n3.9\r\ncms01> exit\r\n" in said


@openssh
async def test_a_wrong_password_is_refused(client: tuple[Client, LabNode]) -> None:
    """Nothing is carried out for somebody who cannot log in."""
    ssh, node = client
    node.faults.reject_password = True
    code, said = await ssh.ssh("version")
    assert code == 255
    assert "Permission denied" in said
    assert node.commands == []


@openssh
async def test_login_with_a_key(tmp_path: Path, start_node: StartNode) -> None:
    """A key from ``authorized_keys`` logs in without a password."""
    key = tmp_path / "id"
    assert (await _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)))[0] == 0
    node = await start_node(authorized_keys=(tmp_path / "id.pub").read_text(encoding="utf-8"))
    assert node.server is not None
    ssh = Client(tmp_path, f"[127.0.0.1]:{node.ssh_port} {node.server.host_key}\n", node.ssh_port)
    ssh.options = (*ssh.options, "-i", str(key), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes")
    assert await ssh.ssh("version") == (0, "3.9\n")


@openssh
async def test_sftp_batch(client: tuple[Client, LabNode], tmp_path: Path) -> None:
    """``sftp`` lists, puts, gets and removes in the flat root."""
    ssh, node = client
    (tmp_path / "new.crt").write_bytes(b"new\n")
    batch = (
        f"ls -1\nput {tmp_path / 'new.crt'}\nget root.crt {tmp_path / 'got'}\nget log {tmp_path / 'log'}\nrm root.crt\n"
    )
    code, said = await ssh.sftp(batch)
    assert code == 0, said
    assert {"log", "live.json", "root.crt"} <= set(said.split())
    assert node.files == {"new.crt": b"new\n"}
    assert (tmp_path / "got").read_bytes() == b"a root\n"
    assert node.transfers == ["put new.crt", "get root.crt", "get log", "rm root.crt"]


@openssh
@pytest.mark.parametrize(
    "request_line", ["rename root.crt other.crt", "chmod 600 root.crt", "mkdir folder", "put {} sub/x"]
)
async def test_sftp_refuses_what_the_store_cannot(
    client: tuple[Client, LabNode], tmp_path: Path, request_line: str
) -> None:
    """The store is flat and has neither renaming nor permissions."""
    ssh, node = client
    (tmp_path / "x").write_bytes(b"x")
    batch = request_line.format(tmp_path / "x") + "\n"
    code, _ = await ssh.sftp(batch)
    assert code == 1
    assert node.files == {"root.crt": b"a root\n"}


@openssh
async def test_keyscan_agrees_with_known_hosts() -> None:
    """``ssh-keyscan`` sees the keys that the fleet tells."""
    specs = [NodeSpec(name=name, hostname=name, address="10.0.0.1", fqdn=f"{name}.example.com") for name in ("a", "b")]
    async with LabFleet(specs) as fleet:
        known = fleet.known_hosts().splitlines()
        for line, node in zip(known, fleet.nodes.values(), strict=True):
            _, said = await _run("ssh-keyscan", "-t", "ed25519", "-p", str(node.ssh_port), "127.0.0.1")
            assert line in said.splitlines()


@openssh
@pytest.mark.filterwarnings("ignore:.*Diffie-Hellman:Warning")
async def test_old_algorithms_need_to_be_asked_for(tmp_path: Path, start_node: StartNode) -> None:
    """With the switch, OpenSSH gets in only when it allows ssh-rsa and group14-sha1."""
    node = await start_node(switches=Switches(old_algorithms=True))
    assert node.server is not None
    ssh = Client(tmp_path, f"[127.0.0.1]:{node.ssh_port} {node.server.host_key}\n", node.ssh_port)
    code, said = await ssh.ssh("version")
    assert (code, "no matching" in said) == (255, True)
    ssh.options = (
        *ssh.options,
        *("-o", "KexAlgorithms=+diffie-hellman-group14-sha1"),
        *("-o", "HostKeyAlgorithms=+ssh-rsa"),
    )
    assert await ssh.ssh("version") == (0, "3.9\n")


async def _served(port: int, *more: str) -> tuple[str, list[bytes]]:
    _, said = await _run("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-showcerts", *more)
    blocks = said.split("-----BEGIN CERTIFICATE-----")[1:]
    return said, [base64.b64decode(block.partition("-----END")[0]) for block in blocks]


@openssl
async def test_s_client_sees_the_chain(start_node: StartNode, authority: Authority, tmp_path: Path) -> None:
    """A web bridge serves leaf, issuing CA and root, and OpenSSL verifies them up to that root."""
    pair = authority.mint("join.example.com", sans=("join.example.com",))
    slot = SlotSpec(key="a.key", certificate="a.crt")
    node = await start_node(
        files={"a.key": pair.key, "a.crt": authority.chain(pair)},
        services={"webbridge3": ServiceSpec(slots={"webbridge3/https": slot, "webbridge3/c2w": slot})},
    )
    (tmp_path / "root.crt").write_bytes(authority.root.pem)
    said, chain = await _served(
        node.port("webbridge3/https") or 0,
        "-CAfile",
        str(tmp_path / "root.crt"),
        "-verify_hostname",
        "join.example.com",
    )
    assert "Verify return code: 0 (ok)" in said
    assert chain == [pair.der, authority.issuing.der, authority.root.der]
    assert tuple(chain) == node.served("webbridge3/https")


@openssl
async def test_s_client_sees_the_bundle_as_chain(start_node: StartNode, authority: Authority) -> None:
    """A service with a leaf alone and a bundle presents both."""
    pair = authority.mint("core1.example.com")
    slot = SlotSpec(key="a.key", certificate="a.crt", bundle="ca.crt")
    node = await start_node(
        files={"a.key": pair.key, "a.crt": pair.pem, "ca.crt": authority.bundle},
        services={"webadmin": ServiceSpec(slots={"webadmin": slot})},
    )
    _, chain = await _served(node.port("webadmin") or 0)
    assert chain == [pair.der, authority.issuing.der, authority.root.der]
    assert node.loaded_leaf("webadmin") == pair.der


@openssl
@pytest.mark.parametrize("known", [True, False])
async def test_c2w_wants_a_client_certificate(
    start_node: StartNode, authority: Authority, stranger: Authority, tmp_path: Path, *, known: bool
) -> None:
    """Only a client whose certificate passes the loaded C2W trust is greeted."""
    pair = authority.mint("edge1.example.com")
    guest = (authority if known else stranger).mint("core1.example.com")
    slot = SlotSpec(key="a.key", certificate="a.crt")
    node = await start_node(
        files={
            "a.key": pair.key,
            "a.crt": authority.chain(pair),
            "trust.crt": guest.pem if known else authority.bundle,
        },
        services={
            "webbridge3": ServiceSpec(
                slots={
                    "webbridge3/https": slot,
                    "webbridge3/c2w": slot,
                    "webbridge3/trust-c2w": SlotSpec(bundle="trust.crt"),
                }
            )
        },
    )
    (tmp_path / "guest.pem").write_bytes(guest.key + guest.pem)
    place = f"127.0.0.1:{node.port('webbridge3/c2w')}"
    client = await asyncio.create_subprocess_exec(
        *("openssl", "s_client", "-connect", place, "-cert", str(tmp_path / "guest.pem"), "-quiet"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert client.stdout is not None
    said = await asyncio.wait_for(client.stdout.read(64), 30)
    with contextlib.suppress(ProcessLookupError):
        client.kill()
    await client.communicate()
    assert said == (b"C2W\n" if known else b"")
