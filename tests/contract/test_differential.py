"""The same requests to both engines: statuses, refusals and the shape of replies must agree."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from opskit.demo.dockerd import DockerdFleet
from tests.contract.talk import Said, Talk, b64, compared, filters

pytestmark = pytest.mark.swarm

X = b64(b"x")
_ATTACHED = {"AttachStdout": True, "AttachStderr": True}


def creating_secrets(talk: Talk) -> None:
    name = talk.name("a_v1")
    for body in (
        {"Name": name, "Data": X, "Labels": {"k": "v"}},
        {"Name": name, "Data": X},
        {"Name": name.upper(), "Data": X},
        {"Name": name, "Data": ""},
        {"Name": talk.name("b")},
        {"Name": talk.name("b"), "Data": "!!!"},
        {"Name": talk.name("b"), "Data": "eA"},
        {"Name": talk.name("b"), "Data": "eA-_"},
        {"Data": X},
        {"Name": "", "Data": ""},
        {"Name": talk.name("white"), "Data": b64(b" \n")},
    ):
        talk.send("POST", "/secrets/create", body)


def templating_and_driving_secrets(talk: Talk) -> None:
    golang = {"Name": "golang"}
    for kind in ("secrets", "configs"):
        for number, more in enumerate(
            (
                {"Templating": golang},
                {"Templating": golang | {"Options": {"k": "v"}}},
                {"Templating": {"Name": "none-such"}},
                {"Templating": {}},
                {"Templating": None, "Driver": None},
            )
        ):
            name = talk.name(f"t{number}")
            body = {"Name": name, "Data": X, "Labels": {"k": "v"}} | more
            talk.send("POST", f"/{kind}/create", body)
            talk.send("GET", f"/{kind}/{name}")
            # Labels change, and nothing else.
            talk.update(f"/{kind}/{name}", {"Name": name, "Labels": {"n": "1"}})
            found = talk.ask("GET", f"/{kind}/{name}")[1]["Spec"]
            talk.note(f"{kind} {more}", 200, found.get("Templating"))
        talk.send("POST", f"/{kind}/create", {"Name": talk.name("e"), "Templating": golang})
    for driver in ({}, {"Name": ""}, {"Name": "opskit-has-no-such-plugin"}):
        body = {"Name": talk.name("d"), "Driver": driver}
        talk.send("POST", "/secrets/create", body)


def naming_secrets(talk: Talk) -> None:
    for name in ("-a", "a-", "a b", "ä", "a/b", "x" * 65, "_x", "."):
        talk.send("POST", "/secrets/create", {"Name": name, "Data": X})
    talk.send("POST", "/secrets/create", {"Name": talk.name("x" * 64)[:64], "Data": X})


def sizing_secrets_and_configs(talk: Talk) -> None:
    for size in (1, 511_999, 512_000, 1_023_999, 1_024_000):
        for kind in ("secrets", "configs"):
            body = {"Name": talk.name(str(size)), "Data": b64(b"x" * size)}
            status, _ = talk.ask("POST", f"/{kind}/create", body)
            talk.note(f"{kind} of {size}", status, "")
    talk.send("POST", "/configs/create", {"Name": talk.name("empty")})


def reading_and_removing_secrets(talk: Talk) -> None:
    ident = talk.secret("a_v1")
    for path in (ident, talk.name("a_v1"), talk.name("a_v"), "none"):
        talk.send("GET", f"/secrets/{path}")
    talk.send("GET", f"/secrets/{ident[:12]}", label="the start of an id")
    talk.send("DELETE", "/secrets/none")
    talk.send("DELETE", f"/secrets/{ident}")
    talk.send("GET", f"/secrets/{ident}")


def relabelling(talk: Talk) -> None:
    for kind in ("secrets", "configs"):
        name = talk.name("a")
        talk.send("POST", f"/{kind}/create", {"Name": name, "Data": X, "Labels": {"k": "v"}})
        path = f"/{kind}/{name}"
        other = b64(b"y")
        for version, body in (
            ("", {"Name": name}),
            ("?version=x", {"Name": name}),
            ("?version=-1", {"Name": name}),
            ("?version=1", {"Name": name}),
            ("?version=1", {"Name": name, "Data": other}),
        ):
            talk.send("POST", f"{path}/update{version}", body)
        for body in (
            {"Name": talk.name("z")},
            {"Labels": {"n": "1"}},
            {"Name": name, "Data": other},
            {"Name": name, "Labels": None},
            {"Name": name, "Data": X, "Labels": {"m": "1"}},
        ):
            talk.update(path, body)
            talk.send("GET", path)
        talk.send("POST", f"/{kind}/none/update?version=1", {"Name": "none"})


def filtering_secrets(talk: Talk) -> None:
    for short, labels in (("a_v1", {"k": "v"}), ("a_v2", {"k": "w"}), ("b_v1", {})):
        body = {"Name": talk.name(short), "Data": X, "Labels": labels}
        talk.ask("POST", "/secrets/create", body)
    for wanted in (
        {"name": [talk.name("a")]},
        {"name": [talk.name("a").upper()]},
        {"name": ["_v1"]},
        {"names": [talk.name("a_v1")]},
        {"names": [talk.name("a")]},
        {"name": [talk.name("a"), talk.name("b")]},
        {"name": [talk.name("")], "label": ["k"]},
        {"name": [talk.name("")], "label": ["k=v"]},
        {"name": [talk.name("")], "label": ["k", "z"]},
    ):
        _, found = talk.ask("GET", "/secrets" + filters(**wanted))
        names = sorted(one["Spec"]["Name"] for one in found)
        talk.note(f"secrets {wanted}", 200, names)
    for kind in ("secrets", "configs", "services", "tasks", "networks", "volumes"):
        talk.send("GET", f"/{kind}" + filters(foo=["x"]))


def refused_specs(talk: Talk) -> None:
    ident, config = talk.secret("s"), talk.config("c")
    one = talk.reference(ident, "s")
    bare = {"SecretID": ident, "SecretName": talk.name("s")}
    other = {"ConfigID": config, "ConfigName": talk.name("c"), "File": {"Name": "t"}}
    create = "/services/create"
    for body in (
        {},
        {"Name": talk.name("w")},
        {"Name": talk.name("w"), "TaskTemplate": {"ContainerSpec": {}}},
        talk.spec("w", {"Image": "Bad Image"}),
        talk.spec("w w"),
        talk.spec("w."),
        talk.spec("w" * 63),
        talk.spec("w", Mode={"Replicated": {}, "Global": {}}),
        talk.spec("w", UpdateConfig={"FailureAction": "bogus"}),
        talk.spec("w", UpdateConfig={"Order": "bogus"}),
        talk.spec("w", task={"RestartPolicy": {"Condition": "bogus"}}),
        talk.spec("w", task={"Placement": {"Constraints": ["bogus"]}}),
        talk.spec("w", task={"Networks": [{"Target": "nowhere"}]}),
        talk.spec("w", {"Secrets": [talk.reference("gone", "gone")]}),
        talk.spec("w", {"Secrets": [talk.reference(ident, "wrong-name")]}),
        talk.spec("w", {"Secrets": [talk.reference("", "s")]}),
        talk.spec("w", {"Secrets": [{"SecretID": ident, "File": {"Name": "t"}}]}),
        talk.spec("w", {"Secrets": [bare]}),
        talk.spec("w", {"Secrets": [talk.reference(ident, "s", "")]}),
        talk.spec("w", {"Secrets": [one, one]}),
        talk.spec("w", {"Configs": [other, other]}),
        talk.spec("w", {"Configs": [other | {"ConfigID": "gone"}]}),
    ):
        talk.send("POST", create, body)


def a_services_life(talk: Talk) -> None:
    name = talk.name("w")
    path = f"/services/{name}"
    talk.send("POST", "/services/create", talk.spec("w", Mode={"Replicated": {"Replicas": 0}}))
    talk.send("POST", "/services/create", talk.spec("w"))
    talk.send("POST", "/services/create", talk.spec("W"))
    talk.send("GET", path)
    talk.send("GET", f"{path}?insertDefaults=true")
    talk.send("GET", "/services" + filters(name=[name]) + "&status=true")
    spec = talk.ask("GET", path)[1]["Spec"]
    for query, body in (
        ("", spec),
        ("version=x", spec),
        ("version=1", spec),
        ("version=1", spec | {"Name": talk.name("z")}),
        ("version=1", spec | {"Mode": {"Global": {}}}),
        ("version=1&rollback=bogus", spec),
        ("version=1&rollback=previous", spec),
        ("version=1&rollback=previous", {}),
    ):
        talk.send("POST", f"{path}/update?{query}", body, label=f"update {query}")
    talk.update(path, talk.spec("w", Mode=spec["Mode"], Labels={"a": "b"}))
    talk.send("GET", path)
    for kind in ("services", "tasks"):
        talk.send("GET", f"/{kind}/none")
    talk.send("DELETE", "/services/none")
    talk.send("POST", "/services/none/update?version=1", talk.spec("w"))
    talk.send("DELETE", path)


def specs_are_stored_alike(talk: Talk) -> None:
    for number, body in enumerate(
        (
            talk.spec("", UpdateConfig={}, RollbackConfig={}, EndpointSpec={}),
            talk.spec("", {"Env": ["a=b"], "Secrets": None}, Mode={}),
            talk.spec("", {"Hostname": "h", "Labels": {"x": "y"}}, Mode={"Global": {}}),
            talk.spec("", task={"RestartPolicy": {}, "Resources": {}, "Placement": {}}),
        )
    ):
        body["Name"] = name = talk.name(f"w{number}")
        body.setdefault("Mode", {"Replicated": {"Replicas": 0}})
        talk.ask("POST", "/services/create", body)
        for query in ("", "?insertDefaults=true"):
            _, service = talk.ask("GET", f"/services/{name}{query}")
            talk.note(f"spec {number}{query}", 200, service["Spec"])


def objects_in_use(talk: Talk) -> None:
    ident, config = talk.secret("s"), talk.config("c")
    body = {"Name": talk.name("n"), "Driver": "overlay"}
    network = talk.ask("POST", "/networks/create", body)[1]["Id"]
    container = {
        "Secrets": [talk.reference(ident, "s")],
        "Configs": [{"ConfigID": config, "ConfigName": talk.name("c"), "File": {"Name": "t"}}],
    }
    attached = {"Networks": [{"Target": talk.name("n")}]}
    none = {"Replicated": {"Replicas": 0}}
    body = talk.spec("w", container, task=attached, Mode=none)
    talk.send("POST", "/services/create", body, label="a service that uses all three")
    talk.send("DELETE", f"/secrets/{ident}")
    talk.send("DELETE", f"/configs/{config}")
    talk.send("DELETE", f"/networks/{network}")
    path = f"/services/{talk.name('w')}"
    talk.update(path, talk.spec("w", Mode=none))
    # Only the spec in force counts, not the one before.
    talk.send("DELETE", f"/secrets/{ident}")


def networks_and_volumes(talk: Talk) -> None:
    body = {"Name": talk.name("n"), "Driver": "overlay", "Attachable": True, "Labels": {"a": "b"}}
    talk.send("POST", "/networks/create", body)
    talk.send("POST", "/networks/create", body)
    talk.send("POST", "/networks/create", {"Name": ""})
    # A real engine sees to a network's addresses after it has answered.
    talk.until(f"/networks/{talk.name('n')}", lambda one: one["Options"])
    for name in (talk.name("n"), "nowhere", "none", "host"):
        talk.send("GET", f"/networks/{name}")
    talk.send("GET", "/networks/bridge", part=True)
    for name in (talk.name("n"), "nowhere", "bridge"):
        talk.send("DELETE", f"/networks/{name}")
    talk.send("GET", "/networks" + filters(name=["gress"]), part=True)
    talk.send("GET", "/networks" + filters(scope=["swarm"]), part=True)
    volume = talk.name("v")
    talk.send("POST", "/volumes/create", {"Name": volume, "Labels": {"a": "b"}})
    talk.send("GET", f"/volumes/{volume}")
    talk.send("GET", "/volumes" + filters(name=[volume]))
    talk.send("DELETE", f"/volumes/{volume}")
    talk.send("GET", f"/volumes/{volume}")
    talk.send("DELETE", f"/volumes/{volume}")


def commands_in_containers(talk: Talk) -> None:
    ident = talk.secret("s")
    container = {"Secrets": [talk.reference(ident, "s")]}
    talk.ask("POST", "/services/create", talk.spec("w", container))
    path = "/containers/json" + filters(label=[f"com.docker.swarm.service.name={talk.name('w')}"])
    (found,) = talk.until(path, bool)
    talk.send("GET", path, part=True)
    where = f"/containers/{found['Id']}"
    talk.send("GET", f"{where}/json", part=True)
    for command in ([], ["cat", "/run/secrets/t"], ["cat", "/none"], ["sh", "-c", "exit 3"]):
        made = talk.send("POST", f"{where}/exec", {"Cmd": command, **_ATTACHED})
        if command:
            start = f"/exec/{made['Id']}/start"
            for _ in range(2):
                status, heard = talk.ask("POST", start, {"Detach": False, "Tty": False})
                talk.note(f"start {command}", status, heard.replace(made["Id"], "<id>"))
                # A real engine notes the end a moment after the last of the output.
                talk.until(f"/exec/{made['Id']}/json", lambda one: one["ExitCode"] is not None)
            talk.send("GET", f"/exec/{made['Id']}/json")
            code = talk.ask("GET", f"/exec/{made['Id']}/json")[1]["ExitCode"]
            talk.note(f"exit code of {command}", 200, code)
    talk.send("POST", "/containers/none/exec", {"Cmd": ["true"]})
    talk.send("GET", "/containers/none/json")
    talk.send("GET", "/exec/none/json")
    talk.send("POST", "/exec/none/start", {})


def the_engine_itself(talk: Talk) -> None:
    for path in ("/_ping", "/v1.41/_ping", "/version", "/info", "/swarm", "/nodes", "/v1.24/info"):
        talk.send("GET", path, part=True)
    for path in ("/v1.99/info", "/nowhere", "/", "/vx/info", "/secrets/", "/v1.41/nowhere"):
        talk.send("GET", path)
    talk.send("PUT", "/secrets/create", {})
    talk.send("GET", "/nodes/none")
    talk.send("POST", "/secrets/create", b"")


def tasks_are_filtered(talk: Talk) -> None:
    talk.send("GET", "/tasks" + filters(service=["none"]))
    talk.send("GET", "/tasks" + filters(node=["none"]))
    talk.send("GET", "/tasks" + filters(**{"desired-state": ["bogus"]}))
    talk.send("GET", "/services/none/logs?stdout=1")


CONVERSATIONS: tuple[Callable[[Talk], None], ...] = (
    creating_secrets,
    templating_and_driving_secrets,
    naming_secrets,
    sizing_secrets_and_configs,
    reading_and_removing_secrets,
    relabelling,
    filtering_secrets,
    refused_specs,
    a_services_life,
    specs_are_stored_alike,
    objects_in_use,
    networks_and_volumes,
    commands_in_containers,
    the_engine_itself,
    tasks_are_filtered,
)


@pytest.mark.parametrize("converse", CONVERSATIONS, ids=lambda one: one.__name__)
def test_both_engines_answer_alike(
    converse: Callable[[Talk], None], real_fleet: DockerdFleet, embedded_host: str
) -> None:
    prefix = f"d{secrets.token_hex(3)}"
    said: list[list[Said]] = []
    for host in (embedded_host, real_fleet.host("srv1")):
        with Talk(host, prefix) as talk:
            converse(talk)
        said.append(talk.said)

    different = compared(*said)
    assert not different, "\n".join(different)
