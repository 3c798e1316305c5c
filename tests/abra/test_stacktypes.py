"""Values that no stack can have for their type, judged by the docker CLI itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from opskit.abra.compose import parse_compose
from tests.abra.docker import docker_stack_config

VERSION = 'version: "3.8"\n'
VALUES = {"T": "true", "N": "3", "S": "10s"}
REFUSED = [
    *(f"secrets.external: {value}" for value in ("'true'", "yes", "1", "TrUe", "null", "[]")),
    "networks.external: 'true'", "volumes.external: yes-ish", "configs.external: on",
    *(f"deploy.replicas: {value}" for value in ('"two"', "'2'", "2.5", "-1", "true", "null")),
    "deploy.update_config.parallelism: '1'", "deploy.restart_policy.max_attempts: three",
    "deploy.update_config.order: startfirst", "deploy.mode: 1", "deploy.update_config.delay: 10",
    "deploy.restart_policy.window: 10sec", "stop_grace_period: '10'", "healthcheck.interval: 1d",
    "healthcheck.retries: '3'",
    *(
        f"ports: [{value}]"
        for value in ("abc", "'80:80/icmp'", "99999", "'99999:80'", "true", "80.5", "''", "'80:'",
                      "{target: '80'}", "{target: 80, published: '80'}",
                      "{target: 80, host_ip: 127.0.0.1}")
    ),
]  # fmt: skip
TAKEN = (
    VERSION
    + """\
services:
  app:
    image: x
    stop_grace_period: 1m30s
    healthcheck: {interval: 1.5s, timeout: "$S", retries: 2.0}
    deploy:
      replicas: 0x10
      mode: global
      update_config: {parallelism: "${N}", delay: -5s, order: stop-first}
      restart_policy: {max_attempts: 1e3, window: 0s}
    ports: [80, "80", "80:81", "80-81:80-81/UDP", "1.2.3.4:82:80", "127.0.0.1::83", "${N}:84",
            {target: 85, published: 86, mode: host}, {target: "${N}"}]
secrets: {a: {external: true}, b: {external: True}, c: {external: "${T}"}, d: {external: {name: e}}}
networks: {a: {external: true}, b: {external: {}}}
"""
)


def written(case: str) -> str:
    path, _, value = case.partition(": ")
    section, _, key = path.partition(".")
    if section in ("secrets", "networks", "volumes", "configs"):
        return f"{VERSION}services: {{app: {{image: x}}}}\n{section}: {{one: {{{key}: {value}}}}}\n"
    keys = path.split(".")
    nested = "".join(f"{{{key}: " for key in keys)
    return f"{VERSION}services:\n  app: {{image: x, {nested[1:]}{value}{'}' * len(keys)}\n"


@pytest.mark.slow
@pytest.mark.parametrize("case", REFUSED)
def test_a_value_of_another_type_is_refused_as_docker_does(tmp_path: Path, case: str) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(written(case))
    assert docker_stack_config([file], {}).returncode != 0
    (fault,) = parse_compose(file.read_bytes()).unsupported
    assert fault.line == 3
    assert case.partition(":")[0].rpartition(".")[2] in fault.what
    assert "docker stack deploy refuses the file" in fault.what


@pytest.mark.slow
def test_what_docker_takes_is_taken_in_every_way_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(TAKEN)
    said = docker_stack_config([file], VALUES)
    assert said.returncode == 0, said.stderr
    assert parse_compose(file.read_bytes()).unsupported == ()


def test_a_mode_that_only_deploying_knows_not_to_be_one_is_named() -> None:
    (fault,) = parse_compose(written("deploy.mode: globl").encode()).unsupported
    assert fault.what.startswith("services.app.deploy.mode must be replicated or global or")
