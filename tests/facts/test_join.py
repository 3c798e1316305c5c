"""Which swarm secret is which version of which app's secret."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opskit.abra.model import Declared, DeclaredApp, DeclaredSecret, DeclaredServer
from opskit.facts.around import Around, Perhaps
from opskit.facts.facts import Facts
from opskit.facts.join import SecretRow, longest_prefix, secret_rows, split_version, uses
from opskit.swarm import model
from opskit.swarm.observe import Observation

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def app(stack: str, *secrets: str, version: str = "v1") -> DeclaredApp:
    return DeclaredApp(
        server="s", name=stack, domain="", recipe="r", recipe_version="", revision="", stack=stack,
        env_file=f"/{stack}.env", env_sha256="", compose_files=(), configs=(), guessed=False,
        note="", problems=(),
        secrets=tuple(
            DeclaredSecret(
                name=name, version=version, swarm_name=f"{stack}_{name}_{version}",
                env_key=f"SECRET_{name.upper()}_VERSION", env_line=1, generate=True, length=None,
                charset="", services=("app",), shared=False,
            )
            for name in secrets
        ),
    )  # fmt: skip


def stored(name: str) -> model.StoredObject:
    return model.StoredObject(id=f"id-{name}", created_at=NOW, spec=model.Spec(name=name))


def container(*names: str) -> model.TaskTemplate:
    references = tuple(model.SecretReference(secret_id=f"id-{n}", secret_name=n) for n in names)
    return model.TaskTemplate(container_spec=model.ContainerSpec(secrets=references))


def service(stack: str, *names: str, previous: tuple[str, ...] | None = None) -> model.Service:
    labels = {"com.docker.stack.namespace": stack}
    spec = model.ServiceSpec(name=f"{stack}_app", labels=labels, task_template=container(*names))
    before = None if previous is None else model.ServiceSpec(task_template=container(*previous))
    return model.Service(id=f"id-{stack}", created_at=NOW, spec=spec, previous_spec=before)


def task(stack: str, state: str, *names: str) -> model.Task:
    return model.Task(
        id="t", service_id=f"id-{stack}", created_at=NOW, status=model.TaskStatus(state=state),
        spec=model.TaskSpec(container_spec=container(*names).container_spec),
    )  # fmt: skip


def seen(
    names: list[str], services: list[model.Service], tasks: list[model.Task] | None = None
) -> Observation:
    return Observation(
        server="s", taken_at=NOW, reachable=True, manager=True, services=tuple(services),
        secrets=tuple(stored(name) for name in names), tasks=tuple(tasks or ()),
    )  # fmt: skip


def rows(apps: list[DeclaredApp], observation: Observation | None) -> dict[str, SecretRow]:
    return {row.swarm_name: row for row in secret_rows(apps, observation)}


def states(apps: list[DeclaredApp], observation: Observation | None) -> dict[str, str | None]:
    return {name: row.state for name, row in rows(apps, observation).items()}


def test_the_longest_stack_wins() -> None:
    apps = [app("app", "db"), app("app_dev", "db")]
    found = rows(apps, seen(["app_db_v1", "app_dev_db_v1", "app_dev_old_v3"], []))

    assert {
        name: (row.stack, row.secret, row.version) for name, row in found.items() if row.stored
    } == {
        "app_db_v1": ("app", "db", "v1"),
        "app_dev_db_v1": ("app_dev", "db", "v1"),
        "app_dev_old_v3": ("app_dev", "old", "v3"),
    }


@pytest.mark.parametrize(
    ("rest", "known", "expected"),
    [
        ("db_v1", [], ("db", "v1")),
        ("db_password_v10", ["db_password"], ("db_password", "v10")),
        ("db_2024a", ["db"], ("db", "2024a")),
        ("db_2024_a", ["db"], ("db", "2024_a")),
        ("x_v2", ["x_v2"], ("x_v2", "")),
        ("x_v2", ["x_v2", "x"], ("x", "v2")),
        ("x_v2_v1", ["x_v2", "x"], ("x_v2", "v1")),
        ("x_other_v1", ["x"], ("x_other", "v1")),
        ("alone", [], ("alone", "")),
    ],
)
def test_secret_and_version_are_taken_apart_by_what_the_recipe_knows(
    rest: str, known: list[str], expected: tuple[str, str]
) -> None:
    assert split_version(rest, frozenset(known)) == expected


@given(st.text(alphabet="ab_v1", max_size=12), st.frozensets(st.text(alphabet="ab_v1", max_size=6)))
def test_taking_apart_loses_nothing(rest: str, known: frozenset[str]) -> None:
    secret, version = split_version(rest, known)
    assert (f"{secret}_{version}" if version else secret).rstrip("_") == rest.rstrip("_")


@given(st.text(alphabet="ab_", max_size=12), st.frozensets(st.text(alphabet="ab_", max_size=6)))
def test_a_longest_prefix_ends_at_an_underscore(name: str, known: frozenset[str]) -> None:
    found = longest_prefix(name, known)
    assert not found or (found in known and name.startswith(f"{found}_"))


def test_declared_used_and_there_is_current() -> None:
    assert states([app("a", "db")], seen(["a_db_v1"], [service("a", "a_db_v1")])) == {
        "a_db_v1": "current"
    }


def test_declared_and_there_while_another_is_used_is_pending_and_the_other_stale() -> None:
    observation = seen(["a_db_v1", "a_db_v2"], [service("a", "a_db_v1")])
    assert states([app("a", "db", version="v2")], observation) == {
        "a_db_v1": "stale",
        "a_db_v2": "pending",
    }


def test_declared_and_not_there_is_missing_while_the_app_runs() -> None:
    assert states([app("a", "db")], seen([], [service("a")])) == {"a_db_v1": "missing"}


def test_an_app_that_is_not_deployed_is_undeployed_whether_or_not_the_secret_is_there() -> None:
    assert states([app("a", "db", "x")], seen(["a_db_v1"], [])) == {
        "a_db_v1": "undeployed",
        "a_x_v1": "undeployed",
    }


def test_an_unused_version_that_is_not_declared_is_superseded() -> None:
    observation = seen(["a_db_v1", "a_db_v2"], [service("a", "a_db_v2")])
    assert states([app("a", "db", version="v2")], observation)["a_db_v1"] == "superseded"


def test_what_no_app_declares_is_an_orphan() -> None:
    observation = seen(["b_db_v1", "a_other_v1", "loose"], [service("a")])
    found = states([app("a", "db")], observation)

    assert [found[name] for name in ("b_db_v1", "a_other_v1", "loose")] == ["orphan"] * 3


def test_a_live_task_counts_as_use_and_an_ended_one_does_not() -> None:
    services = [service("a", "a_db_v2")]
    names = ["a_db_v1", "a_db_v2"]
    apps = [app("a", "db", version="v2")]

    live = seen(names, services, [task("a", "running", "a_db_v1")])
    ended = seen(names, services, [task("a", "shutdown", "a_db_v1")])
    assert states(apps, live)["a_db_v1"] == "stale"
    assert rows(apps, live)["a_db_v1"].used_by == ["a_app"]
    assert states(apps, ended)["a_db_v1"] == "superseded"


def test_a_previous_spec_is_no_use_but_is_remembered_for_pruning() -> None:
    observation = seen(["a_db_v1", "a_db_v2"], [service("a", "a_db_v2", previous=("a_db_v1",))])
    apps = [app("a", "db", version="v2")]

    assert states(apps, observation)["a_db_v1"] == "superseded"
    found = uses(observation.services, observation.tasks)
    assert found.needed_by("id-a_db_v1") == ["a_app (its previous spec)"]


@pytest.mark.parametrize("observation", [None, Observation(server="s", taken_at=NOW)])
def test_without_a_readable_swarm_the_state_is_unknown(observation: Observation | None) -> None:
    assert states([app("a", "db")], observation) == {"a_db_v1": None}


def facts(*observed: Observation) -> Facts:
    servers = tuple(
        DeclaredServer(name=one.server, folder=f"/servers/{one.server}", apps=())
        for one in observed
    )
    declared = Declared(root="/", servers=servers, problems=())
    return Facts(taken_at=NOW, declared=declared, observed=observed)


def leads_to(
    server: str, *, swarm: str = "", node: str = "", nodes: tuple[str, ...] = (), **more: Any
) -> Observation:
    cluster = model.Cluster(id=swarm) if swarm else None
    info = model.Info(
        swarm=model.SwarmInfo(node_id=node, cluster=cluster, local_node_state="active")
    )
    found = tuple(model.Node(id=one, created_at=NOW) for one in nodes)
    made = {"reachable": True, "manager": bool(swarm), "info": info, **more}
    return Observation(server=server, taken_at=NOW, nodes=found, **made)


def test_servers_of_one_swarm_are_known_by_its_id_and_its_nodes() -> None:
    nodes = ("n1", "n2", "n3")
    found = facts(
        leads_to("a", swarm="one", node="n1", nodes=nodes),
        leads_to("b", swarm="one", node="n2", nodes=nodes),
        leads_to("worker", node="n3"),
        leads_to("other", swarm="two", node="m1", nodes=("m1",)),
    )
    assert found.together("a") == found.together("worker") == ("a", "b", "worker")
    assert found.together("other") == ("other",)
    assert found.around("other").perhaps.declarer("a_db_v1", certain=False) is None


def test_a_server_that_tells_no_swarm_may_be_any() -> None:
    silent = leads_to("silent", reachable=False, info=model.Info())
    worker = leads_to("worker", node="n9")
    outside = leads_to(
        "outside", info=model.Info(swarm=model.SwarmInfo(local_node_state="inactive"))
    )
    known = leads_to("known", swarm="one", node="n1", nodes=("n1",))
    made = facts(known, silent, worker, outside)
    servers = tuple(
        msgspec.structs.replace(
            one, apps=(msgspec.structs.replace(app(f"{one.name}_x", "db"), server=one.name),)
        )
        for one in made.declared.servers
    )
    declared = msgspec.structs.replace(made.declared, servers=servers)
    around = Facts(taken_at=NOW, declared=declared, observed=made.observed).around("known")
    may_declare = {
        name: found.server if (found := around.perhaps.declarer(name, certain=False)) else ""
        for name in ("silent_x_db_v1", "worker_x_old_v1", "outside_x_db_v1", "known_x_db_v1")
    }
    assert may_declare == {
        "silent_x_db_v1": "silent",
        "worker_x_old_v1": "worker",
        "outside_x_db_v1": "",
        "known_x_db_v1": "",
    }
    assert not around.together


def test_what_a_server_of_an_unknown_swarm_declares_is_unknown_here() -> None:
    elsewhere = app("b", "db", version="v2")
    found = {
        row.swarm_name: (row.state, bool(row.doubt))
        for row in secret_rows(
            [app("a", "db")],
            seen(["a_db_v1", "b_db_v1", "b_db_v2", "b_other_v1", "c_db_v1"], []),
            Around(perhaps=Perhaps((elsewhere,))),
        )
    }
    assert found == {
        "a_db_v1": ("undeployed", False),
        "b_db_v1": ("unknown", True),
        "b_db_v2": ("unknown", True),
        "b_other_v1": ("unknown", True),
        "c_db_v1": ("orphan", False),
    }


def test_an_older_version_of_a_shared_secret_is_no_orphan() -> None:
    one = app("a", "db", version="v2")
    shared = msgspec.structs.replace(
        one.secrets[0], name="smtp", swarm_name="smtp_v2", shared=True, key="smtp"
    )
    found = states([msgspec.structs.replace(one, secrets=(shared,))], seen(["smtp_v1"], []))

    assert found == {"smtp_v1": "superseded", "smtp_v2": "undeployed"}
