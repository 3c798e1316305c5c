"""A new version keeps what the one before had, and none is made up where a value comes from."""

from __future__ import annotations

import base64
import json
import secrets as random
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import opskit
from opskit.demo.dockerd import IMAGE
from opskit.errors import InputError
from opskit.secrets.value import Secret
from tests.stage import APP, QUICK, SERVER, Stage
from tests.waiting import eventually

TOKEN, KEY = (SERVER, APP, "token"), (SERVER, APP, "key")
OF_OTHERS = {"owner": "finance", "io.portainer.accesscontrol.teams": "ops"}
DIGESTS = {"ansible_key": "a" * 56, "sum": "sha256:" + "0" * 64, "b64": "A" * 43 + "="}
TEMPLATE = b'pg://app:{{ secret "file-0" }}@db/app'


def fleet() -> opskit.Fleet:
    return opskit.Fleet.from_abra()


def docker(stage: Stage, *arguments: str, stdin: bytes = b"") -> str:
    """Run the docker CLI on the stage's engine."""
    done = subprocess.run(
        ["docker", "-H", stage.host, *arguments], input=stdin, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def inspected(stage: Stage, name: str) -> dict[str, Any]:
    """Return what the docker CLI knows of a secret of the stack."""
    (found,) = json.loads(docker(stage, "secret", "inspect", f"{stage.stack}_{name}"))
    return found["Spec"]


def labels_of_others(stage: Stage, name: str) -> dict[str, str]:
    labels = inspected(stage, name)["Labels"]
    return {key: text for key, text in labels.items() if not key.startswith("opskit.")}


@contextmanager
def plugin(value: bytes) -> Iterator[str]:
    """Serve a secret driver that gives every secret this value, and yield its name."""
    name = f"vaultish{random.token_hex(3)}"

    class Driver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer: dict[str, object] = {"Value": base64.b64encode(value).decode()}
            if self.path == "/Plugin.Activate":
                answer = {"Implements": ["secretprovider"]}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.docker.plugins.v1.1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

        def address_string(self) -> str:
            return "engine"

    path = Path("/run/docker/plugins") / f"{name}.sock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with socketserver.ThreadingUnixStreamServer(str(path), Driver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield name
        finally:
            server.shutdown()
            path.unlink(missing_ok=True)


def mounted(stage: Stage, service: str, file: str) -> str:
    """Read a file of a service's running container with the docker CLI."""
    spec = f"{stage.stack}_{service}"
    wanted = ["ps", "-q", "--filter", f"label=com.docker.swarm.service.name={spec}"]
    (container,) = eventually(
        lambda: docker(stage, *wanted).split(),
        f"one container of {spec}",
        lambda found: len(found) == 1,
    )
    return docker(stage, "exec", container, "cat", f"/run/secrets/{file}")


def relabel(stage: Stage, name: str, labels: dict[str, str]) -> None:
    (secret,) = stage.engine.secrets(f"{stage.stack}_{name}")
    stage.engine.label_secret(secret, labels)


@pytest.mark.slow
def test_labels_of_others_go_with_a_new_version_and_those_of_the_value_do_not(
    stage: Stage,
) -> None:
    stage.set_up()
    relabel(stage, "token_v1", OF_OTHERS | DIGESTS | {"com.docker.stack.image": "x"})
    plan = fleet().plan_rotate([TOKEN], QUICK)
    (row,) = plan.changes.records()
    assert "without the label ansible_key, b64, sum" in row.note
    assert any("keeps labels io.portainer" in call for call in plan.calls["call"])
    assert plan.apply().status == "done"

    (made,) = stage.engine.secrets(f"{stage.stack}_token_v2")
    labels = made.spec.labels or {}
    assert {k: v for k, v in labels.items() if not k.startswith("opskit.")} == OF_OTHERS
    # An inserted one of the same secret is no other.
    run = fleet().plan_insert(APP, "token", Secret("good"), options=QUICK).apply()
    assert run.status == "done", run.errors
    (made,) = stage.engine.secrets(f"{stage.stack}_token_v3")
    labels = made.spec.labels or {}
    assert {k: v for k, v in labels.items() if not k.startswith("opskit.")} == OF_OTHERS
    assert labels["opskit.run"] == run.id


def test_a_version_declared_by_hand_takes_after_the_newest_there_is(stage: Stage) -> None:
    stage.set_up()
    relabel(stage, "token_v1", OF_OTHERS)
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text.replace(b"TOKEN_VERSION='v1'", b"TOKEN_VERSION='v5'"))
    assert fleet().plan_generate(APP, "token", QUICK).apply().status == "done"

    (made,) = stage.engine.secrets(f"{stage.stack}_token_v5")
    assert OF_OTHERS.items() <= (made.spec.labels or {}).items()


def templated(stage: Stage, name: str = "key_v1") -> None:
    """Put a template beside the token, deploy both, and wait for them."""
    stage.write_files()
    stage.create("token_v1")
    stage.post(
        "/secrets/create",
        {
            "Name": f"{stage.stack}_{name}",
            "Labels": OF_OTHERS,
            "Data": base64.b64encode(TEMPLATE).decode(),
            "Templating": {"Name": "golang"},
        },
    )
    stage.deploy("app", ["token", "key"])
    stage.wait_until_converged()


def test_a_template_is_not_given_a_made_up_value(stage: Stage) -> None:
    templated(stage)
    before = stage.state()
    with pytest.raises(InputError, match=f"{APP} key: it is a template; insert a new one") as told:
        fleet().plan_rotate([KEY, TOKEN], QUICK)
    assert f"opskit secret insert {APP} key" in str(told.value)
    assert "--skip" in str(told.value)
    # Nor where another version of it is declared and absent.
    text = stage.env_file.read_bytes()
    stage.env_file.write_bytes(text.replace(b"KEY_VERSION=v1", b"KEY_VERSION=v2"))
    with pytest.raises(InputError, match="it is a template"):
        fleet().plan_generate(APP, "key", QUICK)
    with pytest.raises(InputError, match="it is a template"):
        fleet().plan_generate(APP, None, QUICK)
    with pytest.raises(InputError, match="it is a template"):
        fleet().plan_restore([KEY], from_pass=False, options=QUICK)
    snap = fleet().snapshot()
    (missing,) = snap.audit().query("id == 'secret-missing'").records()
    assert missing.remedy == f"opskit secret insert {APP} key"
    rows = snap.secrets.query("secret == 'key'").set_index("version")["templating"]
    assert rows.to_dict() == {"v1": "golang", "v2": "golang"}
    stage.env_file.write_bytes(text)
    assert stage.state() == before


def test_an_inserted_template_is_a_template(embedded_stage: Stage) -> None:
    templated(embedded_stage)
    plan = fleet().plan_insert(APP, "key", Secret('x {{ secret "file-0" }}'), options=QUICK)
    (row,) = plan.changes.records()
    assert "a template" in row.note
    assert plan.apply().status == "done"
    (made,) = embedded_stage.engine.secrets(f"{embedded_stage.stack}_key_v2")
    assert made.spec.templating is not None
    assert made.spec.templating.name == "golang"


@pytest.mark.swarm
def test_a_template_is_rendered_anew_by_a_rotation_and_by_a_new_template(
    real_stage: Stage,
) -> None:
    stage = real_stage
    stage.write_files()
    stage.create("token_v1")
    template = ("secret", "create", "--template-driver", "golang", "--label", "owner=finance")
    docker(stage, *template, f"{stage.stack}_key_v1", "-", stdin=TEMPLATE)
    stage.deploy("app", ["token", "key"])
    stage.wait_until_converged()
    assert mounted(stage, "app", "file-1") == "pg://app:good token_v1@db/app"

    assert fleet().plan_rotate([TOKEN], QUICK).apply().status == "done"
    token = mounted(stage, "app", "file-0")
    assert len(token) == 40
    assert mounted(stage, "app", "file-1") == f"pg://app:{token}@db/app"

    value = Secret('pg://app2:{{ secret "file-0" }}@db/app')
    run = fleet().plan_insert(APP, "key", value, options=QUICK).apply()
    assert run.status == "done", run.errors
    assert inspected(stage, "key_v2")["Templating"] == {"Name": "golang"}
    assert labels_of_others(stage, "key_v2") == {"owner": "finance"}
    assert mounted(stage, "app", "file-1") == f"pg://app2:{token}@db/app"


@pytest.mark.swarm
def test_what_a_driver_holds_is_changed_in_the_driver(real_stage: Stage) -> None:
    stage = real_stage
    with plugin(b"from-the-vault") as driver:
        stage.write_files()
        docker(stage, "secret", "create", "--driver", driver, f"{stage.stack}_token_v1")
        stage.create("key_v1")
        stage.deploy("app", ["token"])
        stage.wait_until_converged()
        before = stage.state()
        assert mounted(stage, "app", "file-0") == "from-the-vault"

        sentence = f"{APP} token: its value comes from the driver {driver}; change it there."
        with pytest.raises(InputError) as told:
            fleet().plan_rotate([TOKEN], QUICK)
        assert str(told.value) == sentence
        with pytest.raises(InputError) as told:
            fleet().plan_insert(APP, "token", Secret("mine"), options=QUICK)
        assert str(told.value) == sentence
        rows = fleet().snapshot().secrets.query("secret == 'token'")
        assert rows["driver"].tolist() == [driver]

        # Nor at a version that is declared and absent.
        text = stage.env_file.read_bytes()
        stage.env_file.write_bytes(text.replace(b"TOKEN_VERSION='v1'", b"TOKEN_VERSION='v2'"))
        for plan in (
            lambda: fleet().plan_generate(APP, "token", QUICK),
            lambda: fleet().plan_insert(APP, "token", Secret("mine"), options=QUICK),
            lambda: fleet().plan_restore([TOKEN], from_pass=False, options=QUICK),
        ):
            with pytest.raises(InputError, match=f"comes from the driver {driver}"):
                plan()
        stage.env_file.write_bytes(text)
        assert stage.state() == before
        stage.clean()


def test_a_service_keeps_every_field_but_the_version(stage: Stage) -> None:
    stage.write_files()
    stage.create("token_v1", "key_v1")
    stage.deploy("worker", ["token"])
    stage.deploy("app", ["token", "key"], EndpointSpec={"Mode": "dnsrr"})
    raw = stage.engine.raw_service(f"{stage.stack}_app")
    container = raw.spec["TaskTemplate"]["ContainerSpec"]
    container |= {
        "Image": IMAGE,
        "Hosts": ["10.0.0.1 upstream"],
        "CapabilityDrop": ["CAP_NET_RAW"],
        "Sysctls": {"net.ipv4.ip_unprivileged_port_start": "80"},
        "Ulimits": [{"Name": "nofile", "Hard": 1024, "Soft": 512}],
        "Labels": {"a": "b"},
    }
    raw.spec["TaskTemplate"]["Placement"] = {"MaxReplicas": 3}
    raw.spec["RollbackConfig"] = {"Parallelism": 1, "Order": "start-first"}
    stage.put("app", raw.spec)
    stage.wait_until_converged()
    before = stage.engine.raw_service(f"{stage.stack}_app").spec
    assert fleet().plan_rotate([TOKEN], QUICK).apply().status == "done"

    after = stage.engine.raw_service(f"{stage.stack}_app").spec
    references = after["TaskTemplate"]["ContainerSpec"]["Secrets"]
    (moved,) = [one for one in references if one["SecretName"] == f"{stage.stack}_token_v2"]
    (was,) = [
        one
        for one in before["TaskTemplate"]["ContainerSpec"]["Secrets"]
        if one["SecretName"] == f"{stage.stack}_token_v1"
    ]
    moved["SecretID"], moved["SecretName"] = was["SecretID"], was["SecretName"]
    assert after == before
