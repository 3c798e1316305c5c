"""The docker command line works on an embedded engine as on a real one."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from opskit.demo.dockerd import IMAGE, DockerdFleet
from tests.waiting import LIMIT, eventually

if shutil.which("docker") is None:
    pytest.skip("the docker command line (Debian: docker.io) is missing", allow_module_level=True)

STACK = """
version: "3.8"
services:
  app:
    image: {image}
    command: sleep 1000
    stop_grace_period: 0s
    secrets: [pw]
    configs: [{{source: cfg, target: /etc/cfg}}]
    networks: [internal]
    volumes: [data:/data]
    deploy: {{replicas: 2, update_config: {{order: start-first, failure_action: rollback}}}}
networks: {{internal: {{}}}}
volumes: {{data: {{}}}}
secrets: {{pw: {{external: true, name: {prefix}_pw_v1}}}}
configs: {{cfg: {{file: ./cfg}}}}
"""

ENDING = """
version: "3.8"
services:
  job: {image: %s, command: "true", environment: [%s], deploy: {mode: replicated-job}}
  once:
    image: %s
    command: "true"
    environment: [%s]
    deploy: {restart_policy: {condition: none}}
networks: {default: {external: true, name: host}}
"""


class Docker:
    """The docker command line, pointed at one engine."""

    def __init__(self, host: str, prefix: str, folder: Path) -> None:
        self.host, self.prefix, self.folder = host, prefix, folder

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command and give how it ended."""
        return subprocess.run(
            ["docker", "-H", self.host, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            env={**os.environ, "DOCKER_CONFIG": str(self.folder)},
        )

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that must succeed and give its output."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def refused(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that must fail and give its complaint."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 1, done.stdout
        return done.stderr.strip()

    def name(self, short: str) -> str:
        """Make a name no other test uses."""
        return f"{self.prefix}_{short}"

    def secret(self, short: str, value: str = "x") -> str:
        """Create a secret and give its name."""
        self("secret", "create", self.name(short), "-", stdin=value)
        return self.name(short)

    def service(self, short: str, *options: str, command: str = "sleep 1000") -> str:
        """Create a service, wait until it runs, and give its name."""
        name = self.name(short)
        more = (
            "--stop-grace-period", "0s", "--update-monitor", "300ms", "--rollback-monitor", "300ms",
            "--no-resolve-image",
        )  # fmt: skip
        self("service", "create", "-d", *more, "--name", name, *options, IMAGE, *command.split())
        eventually(
            lambda: self.replicas(name), f"all tasks of {name}", lambda seen: seen in ("1/1", "2/2")
        )
        return name

    def replicas(self, name: str) -> str:
        """Give running and wanted tasks."""
        return self("service", "ls", "-f", f"name={name}", "--format", "{{.Replicas}}")


@pytest.fixture(params=["embedded", pytest.param("dockerd", marks=pytest.mark.swarm)])
def docker(request: pytest.FixtureRequest, embedded_host: str, tmp_path: Path) -> Iterator[Docker]:
    if request.param == "embedded":
        host = embedded_host
    else:
        fleet: DockerdFleet = request.getfixturevalue("real_fleet")
        host = fleet.host("srv1")
    made = Docker(host, f"c{secrets.token_hex(3)}", tmp_path)
    yield made
    for kind in ("service", "secret", "config", "network", "volume"):
        names = made(kind, "ls", "-f", f"name={made.prefix}", "--format", "{{.Name}}").split()
        for name in names:
            made.run(kind, "rm", name)


def test_secrets_are_created_listed_and_removed(docker: Docker) -> None:
    name = docker.secret("pw_v1")

    assert docker("secret", "ls", "-f", f"name={name}", "--format", "{{.Name}}") == name
    assert docker("secret", "inspect", name, "-f", "{{.Spec.Name}}") == name
    taken = docker.refused("secret", "create", name, "-", stdin="y")
    assert f"secret {name} already exists" in taken
    assert docker("secret", "rm", name) == name
    assert f"secret {name} not found" in docker.refused("secret", "rm", name)


def test_configs_are_created_shown_and_removed(docker: Docker) -> None:
    name = docker.name("cfg")
    docker("config", "create", name, "-", stdin="hello")

    assert docker("config", "inspect", "--pretty", name).endswith("hello")
    assert docker("config", "rm", name) == name


def test_nodes_networks_and_volumes_are_listed(docker: Docker) -> None:
    network, volume = docker.name("net"), docker.name("vol")
    docker("network", "create", "-d", "overlay", network)
    docker("volume", "create", volume)

    assert docker("node", "ls", "--format", "{{.ManagerStatus}}") == "Leader"
    assert docker("node", "ps", "self") != ""
    assert docker("network", "inspect", network, "-f", "{{.Driver}} {{.Scope}}") == "overlay swarm"
    assert volume in docker("volume", "ls", "-q").split()
    assert docker("network", "rm", network) == network
    assert docker("volume", "rm", volume) == volume


def test_info_shows_a_manager(docker: Docker) -> None:
    told = docker("info", "-f", "{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}")
    assert told == "active true"
    assert "Swarm: active" in docker("info")


def test_a_service_is_updated_rolled_back_scaled_and_removed(docker: Docker) -> None:
    old, new = docker.secret("pw_v1"), docker.secret("pw_v2")
    name = docker.service("web", "--secret", f"source={old},target=pw")
    assert f"in use by the following service: {name}" in docker.refused("secret", "rm", old)

    def secret() -> str:
        template = "{{range .Spec.TaskTemplate.ContainerSpec.Secrets}}{{.SecretName}}{{end}}"
        return docker("service", "inspect", name, "-f", template)

    def state() -> str:
        return docker("service", "inspect", name, "-f", "{{.UpdateStatus.State}}")

    change = ("--secret-rm", old, "--secret-add", f"source={new},target=pw")
    docker("service", "update", "-d", *change, name)
    assert secret() == new
    eventually(lambda: state() == "completed", "the engine to come so far")
    assert docker("service", "ps", name, "--format", "{{.DesiredState}}").split() == [
        "Running",
        "Shutdown",
    ]
    docker("service", "rollback", "-d", name)
    assert secret() == old
    # Its end moves the version index, which docker reads and hands back when it scales.
    eventually(lambda: state() == "rollback_completed", "the engine to come so far")
    docker("service", "scale", "-d", f"{name}=2")
    eventually(lambda: docker.replicas(name) == "2/2", "the engine to come so far")
    docker("service", "logs", name)
    assert docker("service", "rm", name) == name
    assert "no such service" in docker.refused("service", "ps", name)


def test_a_command_runs_in_a_task_and_reads_what_is_mounted(docker: Docker) -> None:
    secret = docker.secret("pw_v1", value="open sesame")
    name = docker.service("web", "--secret", f"source={secret},target=pw")
    container = docker("ps", "-q", "-f", f"label=com.docker.swarm.service.name={name}")

    assert docker("exec", container, "cat", "/run/secrets/pw") == "open sesame"
    assert docker("exec", "-i", container, "cat", stdin="through stdin") == "through stdin"
    assert docker.run("exec", container, "sh", "-c", "exit 3").returncode == 3
    assert docker.run("exec", container, "false").returncode == 1
    missing = docker.run("exec", container, "cat", "/run/secrets/none")
    assert "No such file" in missing.stderr


def test_a_stack_is_deployed_twice_and_removed(docker: Docker, tmp_path: Path) -> None:
    docker.secret("pw_v1")
    stack = docker.name("stack")
    (tmp_path / "cfg").write_text("setting=1")
    file = tmp_path / "compose.yml"
    file.write_text(STACK.format(image=IMAGE, prefix=docker.prefix))
    deploy = ("stack", "deploy", "--detach", "--resolve-image", "never", "-c", str(file), stack)
    docker(*deploy)
    eventually(lambda: docker.replicas(f"{stack}_app") == "2/2", "the engine to come so far")
    docker(*deploy)

    assert stack in docker("stack", "ls", "--format", "{{.Name}}").split()
    assert docker("stack", "services", stack, "--format", "{{.Name}}") == f"{stack}_app"
    running = docker("stack", "ps", stack, "-f", "desired-state=running", "--format", "{{.Name}}")
    assert sorted(running.split()) == [f"{stack}_app.1", f"{stack}_app.2"]
    assert f"{stack}_data" in docker("volume", "ls", "-q").split()
    # A network is refused, by a real engine, until Swarm has told the tasks to end.
    eventually(
        lambda: docker.run("stack", "rm", stack).returncode == 0, "the engine to come so far"
    )
    assert stack not in docker("stack", "ls", "--format", "{{.Name}}").split()


def test_of_what_has_ended_a_job_runs_again_at_every_deploy_and_others_for_another_spec(
    docker: Docker, tmp_path: Path
) -> None:
    stack, file = docker.name("stack"), tmp_path / "compose.yml"
    deploy = ("stack", "deploy", "--detach", "--resolve-image", "never", "-c", str(file), stack)

    def tasks() -> dict[str, int]:
        shown = docker("stack", "ps", "--format", "{{.Name}} {{.CurrentState}}", stack)
        names = [line.split() for line in shown.splitlines() if "Complete" in line]
        return Counter(name.removeprefix(f"{stack}_").partition(".")[0] for name, *_ in names)

    def deployed(variable: str, expected: dict[str, int]) -> None:
        file.write_text(ENDING % (IMAGE, variable, IMAGE, variable))
        docker(*deploy)
        eventually(tasks, f"{expected} to have ended", lambda seen: seen == expected)

    deployed("A=1", {"job": 1, "once": 1})
    deployed("A=1", {"job": 2, "once": 1})
    deployed("A=2", {"job": 3, "once": 2})
    deployed("A=2", {"job": 4, "once": 2})
