"""What services would be, judged by the docker CLI's own reading."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from opskit.abra.compose import parse_compose
from opskit.abra.deployed import deployed, external_networks, looked_up
from tests.abra.docker import docker_stack_config

PORTS = [
    '"8080:80"',
    '"8080:80/udp"',
    '"8080-8082:80-82"',
    '"127.0.0.1:8080:80"',
    '"${PORT}:80"',
    '"80"',
    "{target: 80, published: 8080, mode: host}",
    "{target: 80, published: 8080, protocol: udp}",
    "{target: 80}",
    "22:22",
]


@pytest.mark.slow
@pytest.mark.parametrize("port", PORTS)
def test_a_port_is_published_as_docker_would(tmp_path: Path, port: str) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(f"services: {{app: {{image: x, ports: [{port}]}}}}\n")
    said = docker_stack_config([file], {"PORT": "9090"})
    assert said.returncode == 0, said.stderr
    read = YAML(typ="safe", pure=True).load(said.stdout)["services"]["app"]["ports"]
    theirs = {
        (one["published"], one.get("protocol", "tcp"), one.get("mode", "ingress"))
        for one in read
        if "published" in one
    }

    compose = parse_compose(file.read_bytes())
    ours = deployed(compose, "shop", {"PORT": "9090"})["app"].ports
    assert {(one.port, one.protocol, one.mode) for one in ours} == theirs


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a: $HOME", {"HOME"}),
        ("a: ${HOME:-${OTHER}}", {"HOME", "OTHER"}),
        ("a: $$HOME $${HOME}", set()),
        ("a: $$$HOME", {"HOME"}),
        ("# a: $HOME\n  # ${HOME}\n", set()),
        ("services: {app: {environment: [HOME, A=1]}}", {"HOME"}),
        ("services: {app: {environment: {HOME: , A: 1}}}", {"HOME"}),
        ("services: {app: {environment: {HOME: /srv}}}", set()),
    ],
)
def test_it_is_known_which_variables_docker_looks_up(text: str, names: set[str]) -> None:
    assert looked_up(parse_compose(text.encode()), [text], []) == names
    assert looked_up(parse_compose(b""), [], ["A=$HOME\n HOME \n"]) == {"HOME"}


def test_only_networks_that_services_join_and_no_deploy_makes_must_be_there() -> None:
    compose = parse_compose(
        b"services: {app: {networks: [proxy, inner]}, db: {networks: {old: }}, cron: {}}\n"
        b"networks:\n  proxy: {external: true}\n  inner: {driver: overlay}\n"
        b'  old: {external: {name: "${NET}"}}\n  unused: {external: true}\n'
        b"  default: {external: true, name: shared}\n"
    )
    assert external_networks(compose, {"NET": "backbone"}) == ("proxy", "backbone", "shared")
