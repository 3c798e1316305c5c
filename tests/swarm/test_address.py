"""Addresses are taken as the docker CLI takes them: the same engine, or none."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from opskit.demo.dockerd import DockerdFleet
from opskit.demo.fleet import DemoFleet, write_contexts
from opskit.errors import ContextError, OpskitError
from opskit.swarm.context import Context, find_context, ssh_target
from opskit.swarm.engine import Engine
from opskit.swarm.ssh import explain
from opskit.swarm.transport import TRANSPORT

Use = Callable[[DemoFleet | DockerdFleet], Path]

REACHED = {
    "the login's engine": "ssh://srv1",
    "another socket over there": "ssh://srv1{socket}",
    "a user": "ssh://root@srv1",
    "an encoded user": "ssh://r%6Fot@srv1",
    "an empty user": "ssh://@srv1",
    "a port": "ssh://root@127.0.0.1:{port}",
    "no port behind the colon": "ssh://srv1:",
    "an alias with capitals": "ssh://WebOne",
    "a scheme in capitals": "SSH://srv1",
    "a socket here": "unix://{socket}",
    "a percent sign in the path of a socket here": "unix://{percent}",
}
REACHED_BY_NEWER_DOCKERS = {
    # 28.2 asks for the socket "/", and leaves a path to the shell over there as it is.
    "an address that ends in a slash": ("ssh://srv1/", "srv1"),
    "a socket whose path a shell would take apart": ("ssh://srv1{odd}", "srv2"),
}
REFUSED = {
    "a password": "ssh://root:{password}@srv1",
    "an empty password": "ssh://root:@srv1",
    "a query": "ssh://srv1?socket={socket}",
    "a query behind a path": "ssh://srv1{socket}?x=1",
    "a fragment": "ssh://srv1#{socket}",
    "no host": "ssh://",
    "a user and no host": "ssh://root@",
    "an unfinished escape": "ssh://%zz@srv1",
    "an escape in the host": "ssh://srv%31",
    "a blank in the host": "ssh://srv 1",
    "a port in words": "ssh://srv1:ssh",
    "a socket that is not there": "ssh://srv1/nowhere/docker.sock",
    "an alias with other capitals": "ssh://webone",
    "a scheme nobody knows": "npipe:////./pipe/docker_engine",
    "a socket here that is not there": "unix:///nowhere/docker.sock",
}


def written(address: str, fleet: DockerdFleet) -> str:
    """Fill in where the second engine's socket is, and by which names it goes."""
    socket = Path(fleet.host("srv2").removeprefix("unix://"))
    odd, percent = (fleet.root / name for name in ("it's $HOME; (odd)", "a%20b"))
    for link in (odd, percent):
        link.unlink(missing_ok=True)
        link.symlink_to(socket.parent)
    return address.format(
        socket=socket,
        odd=f"{fleet.root}/it%27s%20$HOME;%20(odd)/{socket.name}",
        percent=percent / socket.name,
        password="hunter2",
        port=fleet.sshds["srv1"].port,
    )


@pytest.fixture
def one(ssh_fleet: DockerdFleet, use: Use) -> DockerdFleet:
    """A fleet whose first server has two more names in the ssh configuration."""
    use(ssh_fleet)
    config = ssh_fleet.root / "ssh" / "config"
    block = config.read_text().partition("\n\n")[0]
    for name in ("WebOne", "127.0.0.1"):
        if f"Host {name}\n" not in config.read_text():
            with config.open("a") as file:
                file.write(block.replace("Host srv1", f"Host {name}") + "\n\n")
    return ssh_fleet


def by_docker() -> str | None:
    done = subprocess.run(
        ["docker", "--context", "odd.test", "info", "--format", "{{.Name}}"],
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip() if done.returncode == 0 else None


def by_opskit() -> str | None:
    try:
        return Engine(find_context("odd.test"), seconds=60).info().name
    except OpskitError:
        return None


@pytest.mark.swarm
@pytest.mark.parametrize("address", [pytest.param(text, id=name) for name, text in REACHED.items()])
def test_an_address_leads_to_the_engine_that_docker_reaches(
    one: DockerdFleet, address: str
) -> None:
    write_contexts(one.root / "docker", {"odd.test": written(address, one)})
    reached = by_docker()

    assert reached in {"srv1", "srv2"}
    assert by_opskit() == reached


@pytest.mark.swarm
@pytest.mark.parametrize(
    ("address", "engine"),
    [pytest.param(*pair, id=name) for name, pair in REACHED_BY_NEWER_DOCKERS.items()],
)
def test_where_dockers_differ_none_reaches_another_engine(
    one: DockerdFleet, address: str, engine: str
) -> None:
    write_contexts(one.root / "docker", {"odd.test": written(address, one)})

    assert by_docker() in {None, engine}
    assert by_opskit() == engine


@pytest.mark.swarm
@pytest.mark.parametrize("address", [pytest.param(text, id=name) for name, text in REFUSED.items()])
def test_an_address_that_docker_refuses_leads_nowhere(one: DockerdFleet, address: str) -> None:
    write_contexts(one.root / "docker", {"odd.test": written(address, one)})

    assert by_docker() is None
    assert by_opskit() is None


@pytest.mark.parametrize(
    "host",
    [
        "tcp://host:2375/prefix",
        "tcp://user@host:2375",
        "tcp://host:2375?x=1",
        "tcp://host:0",
        "ssh://host:0",
        "ssh://host:65536",
        "unix://",
        "tcp://",
        "host",
        "",
    ],
)
def test_what_opskit_would_have_to_leave_out_is_refused(host: str) -> None:
    with pytest.raises(ContextError, match=r"of server 's' has an address opskit cannot reach"):
        Context(server="s", host=host)


@pytest.mark.parametrize("host", ["ssh://ops:hunter2@host", "tcp://ops:hunter2@host:2375"])
def test_a_password_in_an_address_is_refused_and_not_shown(host: str) -> None:
    with pytest.raises(ContextError) as refused:
        Context(server="s", host=host)
    assert "hunter2" not in str(refused.value)


def test_remedies_name_an_alias_as_it_is_written() -> None:
    context = Context(server="s", host="ssh://first.last%40corp.example@WebOne")

    assert ssh_target(context) == ["-l", "first.last@corp.example", "--", "WebOne"]
    _, remedy = explain(
        "ssh: Could not resolve hostname WebOne: Name or service not known", context
    )
    assert remedy == "Check: ssh -l first.last@corp.example WebOne true"


def teardown_module() -> None:
    TRANSPORT.close()
