"""Which engine a server name means."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from opskit.demo.fleet import write_contexts
from opskit.errors import ContextError
from opskit.swarm.context import docker_arguments, find_context


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


def by_docker(config: Path, *arguments: str, **more: str) -> str:
    """Ask the docker CLI, which looks into the same folder."""
    foreign = {"DOCKER_HOST", "DOCKER_CONTEXT"}
    environ = {key: value for key, value in os.environ.items() if key not in foreign}
    done = subprocess.run(
        ["docker", *arguments],
        env={**environ, "DOCKER_CONFIG": str(config), **more},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.mark.swarm
@pytest.mark.parametrize("settled", [False, True])
def test_contexts_are_found_where_docker_made_them(tmp_path: Path, *, settled: bool) -> None:
    # docker context create writes no config.json, without which the SDK would look in ~/.docker.
    if settled:
        (tmp_path / "config.json").write_text("{}")
    by_docker(tmp_path, "context", "create", "two.example", "--docker", "host=tcp://127.0.0.1:9")

    found = find_context("two.example", {"DOCKER_CONFIG": str(tmp_path)})
    assert (found.host, found.tls) == ("tcp://127.0.0.1:9", None)


@pytest.mark.swarm
@pytest.mark.parametrize("said", [{}, {"SkipTLSVerify": False}, {"SkipTLSVerify": True}])
@pytest.mark.parametrize("files", [["ca"], ["ca", "cert", "key"], []])
def test_certificates_are_checked_where_docker_checks_them(
    tmp_path: Path, said: dict[str, bool], files: list[str]
) -> None:
    digest = hashlib.sha256(b"tls.example").hexdigest()
    store, folder = tmp_path / "contexts" / "meta" / digest, tmp_path / "contexts/tls" / digest
    store.mkdir(parents=True)
    endpoint = {"Host": "tcp://127.0.0.1:9", **said}
    meta = {"Name": "tls.example", "Metadata": {}, "Endpoints": {"docker": endpoint}}
    (store / "meta.json").write_text(json.dumps(meta))
    (folder / "docker").mkdir(parents=True)
    for name in files:
        (folder / "docker" / f"{name}.pem").write_text("x")
    (inspected,) = json.loads(by_docker(tmp_path, "context", "inspect", "tls.example"))

    tls = find_context("tls.example", {"DOCKER_CONFIG": str(tmp_path)}).tls
    listed = inspected["TLSMaterial"].get("docker") or []
    found = [getattr(tls, name) for name in ("ca", "cert", "key")] if tls else []
    assert {Path(path).name for path in found if path} == set(listed)
    if tls is not None:
        assert tls.verify is not inspected["Endpoints"]["docker"]["SkipTLSVerify"]


@pytest.mark.swarm
@pytest.mark.parametrize("more", [{}, {"DOCKER_CONTEXT": "one.example"}])
@pytest.mark.parametrize("server", ["default", "one.example"])
def test_docker_is_led_to_the_engine_that_opskit_reaches(
    tmp_path: Path, server: str, more: dict[str, str]
) -> None:
    write_contexts(tmp_path, {"one.example": "unix:///one.sock", "chosen": "unix:///chosen.sock"})
    (tmp_path / "config.json").write_text('{"currentContext": "chosen"}')
    environ = {"DOCKER_CONFIG": str(tmp_path), **more}
    arguments = docker_arguments(server, environ)

    name = by_docker(tmp_path, *arguments, "context", "show", **more)
    host = json.loads(by_docker(tmp_path, "context", "inspect", name, **more))[0]
    assert host["Endpoints"]["docker"]["Host"] == find_context(server, environ).host


@pytest.mark.swarm
def test_docker_follows_a_host_of_the_environment_as_opskit_does(tmp_path: Path) -> None:
    write_contexts(tmp_path, {"chosen": "unix:///chosen.sock"})
    (tmp_path / "config.json").write_text('{"currentContext": "chosen"}')
    environ = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": "unix:///elsewhere.sock"}

    arguments = docker_arguments("default", environ)
    shown = by_docker(
        tmp_path, *arguments, "context", "inspect", DOCKER_HOST=environ["DOCKER_HOST"]
    )
    host = json.loads(shown)[0]["Endpoints"]["docker"]["Host"]
    assert host == find_context("default", environ).host == environ["DOCKER_HOST"]
