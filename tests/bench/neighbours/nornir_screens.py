"""What ``cmscert plan`` asks on the command line, asked by Nornir with Netmiko: ``python nornir_screens.py JOBS``.

An interactive session for each server, fifty servers at a time, one command after another. Files are not read: Netmiko
copies files of a few kinds of devices only. Tells how many characters came.
"""
# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201, D103 - run with libraries that the project does not have

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from nornir import InitNornir
from nornir.core.task import Result
from nornir_netmiko.tasks import netmiko_send_command


def screens(task):
    prompt = rf"{task.host['prompt']}"
    answers = [
        task.run(netmiko_send_command, command_string=command, expect_string=prompt)
        for command in task.host["commands"]
    ]
    return Result(host=task.host, result=sum(len(answer[0].result) for answer in answers))


def hosts(jobs):
    for number, server in enumerate(jobs["servers"]):
        yield (
            f"server{number}",
            {
                "hostname": server["address"],
                "port": server["port"],
                "username": jobs["user"],
                "password": jobs["password"],
                "platform": "generic",
                "data": {"commands": server["commands"], "prompt": r"[\r\n][^\r\n]+> $"},
                "connection_options": {
                    "netmiko": {
                        "extras": {
                            "ssh_strict": True,
                            "system_host_keys": False,
                            "alt_host_keys": True,
                            "alt_key_file": jobs["known_hosts"],
                        }
                    }
                },
            },
        )


def main():
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "hosts.yaml"
        file.write_text(json.dumps(dict(hosts(jobs))), encoding="utf-8")
        nornir = InitNornir(
            inventory={"plugin": "SimpleInventory", "options": {"host_file": str(file)}},
            runner={"plugin": "threaded", "options": {"num_workers": 50}},
            logging={"enabled": False},
        )
    answers = nornir.run(task=screens)
    nornir.close_connections()
    if answers.failed:
        sys.exit(str({name: answer[0].exception for name, answer in answers.failed_hosts.items()}))
    sys.stdout.write(f"{sum(answer[0].result for answer in answers.values())}\n")


main()
