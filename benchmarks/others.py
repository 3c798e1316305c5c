"""Other tools that read swarms over ssh, each as its own documentation has it used.

Ansible, pyinfra and what the docker SDK needs for ssh are installed into a folder of their own,
since opskit needs none of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from peers import timed

from opskit.demo.dockerd import DockerdFleet

LISTS = ("secret ls", "service ls", "node ls", "config ls", "network ls")
_EVERY = " && ".join(f"docker {command} >/dev/null" for command in LISTS)
_VERSIONS = ("ansible-core==2.19.14", "pyinfra==3.10.0", "docker[ssh]==7.1.0")
_SDK = """
import sys
from concurrent.futures import ThreadPoolExecutor
import docker

def read(name):
    client = docker.DockerClient(base_url=f"ssh://{name}", use_ssh_client=True)
    for listing in (client.secrets, client.services, client.nodes, client.configs):
        listing.list()
    client.networks.list()
    client.close()

with ThreadPoolExecutor(len(sys.argv) - 1) as threads:
    list(threads.map(read, sys.argv[1:]))
"""
_FOLDER = Path(__file__).parents[1] / "build" / "peers"


def docker_one_after_another(names: list[str]) -> None:
    """Run the five list commands on each server, one after another."""
    for name in names:
        for command in LISTS:
            subprocess.run(
                ["docker", "--context", name, *command.split()],
                stdout=subprocess.DEVNULL,
                check=True,
            )


def docker_in_parallel(names: list[str]) -> None:
    """Run the same commands eight at a time."""
    lines = "\n".join(f"--context {name} {command}" for name in names for command in LISTS)
    subprocess.run(
        ["xargs", "-P", "8", "-L", "1", "docker"],
        input=lines,
        text=True,
        stdout=subprocess.DEVNULL,
        check=True,
    )


class Tools:
    """Ansible, pyinfra and a docker SDK script; ``with`` ends what they keep open."""

    def __init__(self, fleet: DockerdFleet) -> None:
        self._bin = _installed()
        self._temporary = tempfile.TemporaryDirectory(prefix="bench-peers-")
        self._folder = Path(self._temporary.name)
        self._ssh = fleet.root / "ssh"
        self._config = self._folder / "ansible.cfg"
        self._config.write_text(
            "[defaults]\nforks = 50\nhost_key_checking = True\n"
            f"local_tmp = {self._folder}/local\n"
            f"[ssh_connection]\npipelining = True\ncontrol_path_dir = {self._folder}/cp\n"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()
        self._temporary.cleanup()

    def forget(self) -> None:
        """End the connections that Ansible keeps."""
        for control in self._folder.glob("cp/*"):
            command = ["ssh", "-o", f"ControlPath={control}", "-O", "exit", "any"]
            subprocess.run(command, stderr=subprocess.DEVNULL, check=False)

    def sdk(self, names: list[str]) -> float:
        """Time a docker SDK script that reads the same lists, with a thread for each server."""
        # It takes 22 where no port is given, whatever the alias says.
        asked = [["ssh", "-G", name] for name in names]
        said = [subprocess.run(command, capture_output=True, check=True) for command in asked]
        ports = [re.search(rb"(?m)^port (\d+)$", each.stdout)[1].decode() for each in said]
        hosts = [f"{name}:{port}" for name, port in zip(names, ports, strict=True)]
        return timed(lambda: subprocess.run([self._bin / "python", "-c", _SDK, *hosts], check=True))

    def ansible(self, names: list[str]) -> None:
        """Run the lists on each server, all servers at once, with Ansible's raw module."""
        subprocess.run(
            [self._bin / "ansible", "all", "-i", f"{','.join(names)},", "-m", "raw", "-a", _EVERY],
            stdout=subprocess.DEVNULL,
            env=os.environ | {"ANSIBLE_CONFIG": str(self._config)},
            check=True,
        )

    def pyinfra(self, names: list[str]) -> None:
        """Run the lists on each server, all servers at once, with pyinfra's exec."""
        inventory = self._folder / "inventory.py"
        data = {
            "ssh_config_file": str(self._ssh / "config"),
            "ssh_known_hosts_file": str(self._ssh / "known_hosts"),
        }
        inventory.write_text(f"servers = ({names!r}, {data!r})\n")
        subprocess.run(
            [self._bin / "pyinfra", "-y", str(inventory), "exec", "--", _EVERY],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            check=True,
        )


def _installed() -> Path:
    done = _FOLDER / "installed"
    wanted = " ".join(_VERSIONS)
    if not done.exists() or done.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", _FOLDER], check=True)
        subprocess.run([_FOLDER / "bin" / "pip", "install", "-q", *_VERSIONS], check=True)
        done.write_text(wanted)
    return _FOLDER / "bin"
