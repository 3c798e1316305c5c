"""Which engine a server name means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opskit.demo.fleet import write_contexts
from opskit.errors import ContextError
from opskit.swarm.context import find_context


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    write_contexts(tmp_path, {"one.example": "ssh://one.example", "weird": "npipe://x"})
    return {"DOCKER_CONFIG": str(tmp_path)}


def meta(tmp_path: Path) -> Path:
    return next(
        path
        for path in tmp_path.glob("contexts/meta/*/meta.json")
        if json.loads(path.read_text())["Name"] == "one.example"
    )


def test_a_server_is_reached_by_the_context_of_its_name(environ: dict[str, str]) -> None:
    assert find_context("one.example", environ).host == "ssh://one.example"


def test_an_unknown_name_is_an_error_with_the_command_that_creates_it(
    environ: dict[str, str],
) -> None:
    environ |= {"DOCKER_HOST": "unix:///local.sock", "DOCKER_CONTEXT": "one.example"}
    with pytest.raises(ContextError, match=r"docker context create two\.example"):
        find_context("two.example", environ)


def test_the_environment_decides_only_for_abras_default_server(environ: dict[str, str]) -> None:
    assert find_context("default", environ).host == "unix:///var/run/docker.sock"
    environ["DOCKER_CONTEXT"] = "one.example"
    assert find_context("default", environ).host == "ssh://one.example"
    environ["DOCKER_HOST"] = "tcp://127.0.0.1:1"
    assert find_context("default", environ).host == "tcp://127.0.0.1:1"
    assert find_context("one.example", environ).host == "ssh://one.example"


def test_an_address_opskit_cannot_reach_is_refused(environ: dict[str, str]) -> None:
    with pytest.raises(ContextError, match="npipe"):
        find_context("weird", environ)


@pytest.mark.parametrize("host", ["ssh://coop:port", "tcp://[::1", "tcp://host:99999"])
def test_a_mistyped_address_is_refused_like_one_that_cannot_be_reached(
    tmp_path: Path, host: str
) -> None:
    write_contexts(tmp_path, {"mistyped": host})
    with pytest.raises(ContextError, match=r"of server 'mistyped' .* Use ssh://HOST"):
        find_context("mistyped", {"DOCKER_CONFIG": str(tmp_path)})


@pytest.mark.parametrize("content", ["", "{", "[]", '{"Name": 3}'])
def test_a_damaged_context_is_an_error_naming_its_file(
    environ: dict[str, str], tmp_path: Path, content: str
) -> None:
    meta(tmp_path).write_text(content)
    with pytest.raises(ContextError, match=r"meta\.json"):
        find_context("one.example", environ)


def test_a_context_without_a_host_is_an_error(environ: dict[str, str], tmp_path: Path) -> None:
    meta(tmp_path).write_text('{"Name": "one.example", "Endpoints": {}}')
    with pytest.raises(ContextError, match=r"docker context update one\.example"):
        find_context("one.example", environ)


def test_tls_material_of_the_context_is_found(environ: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "contexts" / "tls" / meta(tmp_path).parent.name / "docker"
    folder.mkdir(parents=True)
    (folder / "ca.pem").write_text("x")
    tls = find_context("one.example", environ).tls

    assert tls is not None
    assert (tls.ca, tls.cert, tls.verify) == (str(folder / "ca.pem"), "", True)
