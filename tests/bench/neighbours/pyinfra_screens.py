"""What ``cmscert plan`` asks on the command line, asked by pyinfra: ``python pyinfra_screens.py JOBS``.

By its Python API, without operations and facts, fifty servers at a time, one command after another, each as it stands:
pyinfra would put ``sh -c`` before it, which no appliance knows. Files are not read: pyinfra reads them with a shell's
commands, or keeps them on disk. Tells how many characters came.
"""
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, D103 - run with libraries that the project does not have

from __future__ import annotations

import json
import sys
from pathlib import Path

import gevent
from pyinfra.api import Config, Inventory, State, StringCommand
from pyinfra.api.connect import connect_all, disconnect_all


def screens(host, commands):
    came = 0
    for command in commands:
        worked, output = host.run_shell_command(StringCommand(command), _shell_executable=None)
        if not worked:
            sys.exit(f"{host.name}: {command}: {output.stderr}")
        came += len(output.stdout)
    return came


def main():
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    hosts = [
        (
            f"server{number}",
            {
                "ssh_hostname": server["address"],
                "ssh_port": server["port"],
                "ssh_user": jobs["user"],
                "ssh_password": jobs["password"],
                "ssh_known_hosts_file": jobs["known_hosts"],
                "ssh_strict_host_key_checking": "yes",
                "ssh_look_for_keys": False,
                "ssh_allow_agent": False,
            },
        )
        for number, server in enumerate(jobs["servers"])
    ]
    state = State(Inventory((hosts, {})), Config(PARALLEL=50))
    connect_all(state)
    commands = [server["commands"] for server in jobs["servers"]]
    asked = [gevent.spawn(screens, host, each) for host, each in zip(state.inventory, commands, strict=True)]
    gevent.joinall(asked, raise_error=True)
    sys.stdout.write(f"{sum(each.value for each in asked)}\n")
    disconnect_all(state)


main()
