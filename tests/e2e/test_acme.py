"""From an ACME CA to a service that serves its certificate: renew, plan, apply on simulated servers, with Pebble."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cmscert.testing.name_server import KEY, KEY_NAME, NameServer
from cmscert.testing.pebble import Pebble

pytestmark = [pytest.mark.judge("pebble"), pytest.mark.judge("openssl")]


def test_the_whole_way(bench: Callable[..., Any], cli: Callable[..., Any], tmp_path: Path) -> None:
    """The example inventory with its certificates from issuers, one of them an ACME CA: obtained, deployed, served."""
    started = bench("issued.yaml", "aged")
    with NameServer() as names, Pebble(tmp_path / "pebble", names.address) as pebble:
        pki = started.folder / "pki"
        (pki / "public-issuing.crt").write_bytes(pebble.intermediate())
        (pki / "public-root.crt").write_bytes(pebble.root())
        (pki / "acme.crt").write_bytes(pebble.ca_bundle.read_bytes())
        inventory = yaml.safe_load(started.inventory.read_text())
        inventory["issuers"]["public"] |= {
            "directory": pebble.directory,
            "ca_bundle": "pki/acme.crt",
            "challenge": {
                "dns_01": {
                    "server": "127.0.0.1",
                    "port": names.port,
                    "key_name": KEY_NAME,
                    "key": {"env": "TSIG_KEY"},
                },
                "resolvers": [names.address],
            },
        }
        inventory["certificates"]["cluster"]["issuer"] = "lab"  # nobody waits for people here
        started.inventory.write_text(yaml.safe_dump(inventory))
        renewed = cli("renew", started.inventory, "--format", "json", env={"TSIG_KEY": KEY})
    planned = cli("plan", started.inventory, "--format", "json")
    assert planned.code == 0, planned.err + planned.out[-3000:]
    applied = cli("apply", started.inventory, "--yes", "--format", "json")
    again = cli("renew", started.inventory, env={"TSIG_KEY": ""})
    after = cli("plan", started.inventory, "--detailed-exitcode")

    assert (renewed.code, planned.code, applied.code, again.code, after.code) == (0, 0, 0, 0, 0), (
        renewed,
        applied,
        after,
    )
    started.settled()
    port = started.node("edge1").port("webbridge3/https")
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "join.example.com"]
    words += ["-CAfile", str(pki / "public-root.crt"), "-verify_hostname", "join.example.com", "-verify_return_error"]
    seen = subprocess.run(words, input=b"", capture_output=True, timeout=30, check=False)
    assert b"Verify return code: 0 (ok)" in seen.stdout, seen
    assert KEY not in f"{renewed}{planned}{applied}"
