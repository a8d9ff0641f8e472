"""Writes for Ansible what ``cmscert plan`` asks on the command line: ``python ansible_screens.py JOBS FOLDER``.

A playbook with one task, ``raw`` in a loop, so that a worker asks one server everything over one connection
(ControlPersist); fifty workers. Files are not read: reading them takes a Python on the server, or a shell.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.raw": "{{ item }}", "loop": "{{ commands }}", "changed_when": False}],
    }
]
SETTINGS = """\
[defaults]
inventory = {folder}/inventory.json
forks = 50
callback_result_format = json
stdout_callback = minimal
local_tmp = {folder}/tmp
host_key_checking = True
[ssh_connection]
password_mechanism = ssh_askpass
control_path_dir = {folder}/cp
ssh_args = -F none -o ControlMaster=auto -o ControlPersist=5s
ssh_common_args = -o UserKnownHostsFile={known_hosts} -o PreferredAuthentications=password
"""


def hosts(jobs: dict[str, Any]) -> dict[str, Any]:
    """Return Ansible's inventory."""
    return {
        f"server{number}": {
            "ansible_host": server["address"],
            "ansible_port": server["port"],
            "ansible_user": jobs["user"],
            "ansible_password": jobs["password"],
            "commands": server["commands"],
        }
        for number, server in enumerate(jobs["servers"])
    }


def main() -> None:
    """Write playbook, inventory and settings."""
    jobs, folder = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])
    (folder / "screens.json").write_text(json.dumps(PLAY), encoding="utf-8")
    (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts(jobs)}}), encoding="utf-8")
    settings = SETTINGS.format(folder=folder, known_hosts=jobs["known_hosts"])
    (folder / "ansible.cfg").write_text(settings, encoding="utf-8")


if __name__ == "__main__":
    main()
