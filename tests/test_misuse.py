"""What opskit says to whoever calls it with something else than it takes.

Each call below once succeeded in silence, did half of it, or ended in a traceback from deep inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import opskit
from opskit import Fleet, Options, Plan, Policy, Probe, Runbook, Secret, Snapshot, forms, pictures
from opskit.demo.fleet import DemoFleet
from opskit.errors import InputError, OpskitError
from opskit.kinds.hooks import databases_in_words
from opskit.secrets.generate import GENERATORS
from opskit.swarm.transport import TRANSPORT

APP = "cloud.coop.example"
TOKEN = ("coop.example", APP, "admin_password")
SELECT = "Give rows of snap.secrets, or (server, app, secret) triples."
NAMES = 'Give a list of names, such as ["one", "two"].'
SAY_APP = 'Name an app and its secrets, such as "wiki.coop.example", ["api_token"].'
TAKE = "Give what fleet.snapshot() gave, or leave it out to read what is needed."
FLAG = "Give True or False."
MODES = "Choose from: services, stack, abra, none."
TEMPLATE = "It may use {server}, and must use {app} and {secret}."
HOOK = (
    f"is no hook. Write {databases_in_words()}, with :SERVICE and user=NAME if need be; or "
    "command:SERVICE PROGRAM."
)
HOOKS = 'Give a dict, such as {"wordpress": "mariadb"}.'
RUN_OPTIONS = "It takes: max_parallel, keep_going, identity, on_progress."
RUN = "Give the id of a run, or its beginning: see fleet.journal()."


@pytest.fixture(scope="module")
def given(demo_fleet: DemoFleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A fleet, a snapshot of it, one read from a file, one of another fleet, and a plan."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo_fleet.env.items():
            patch.setenv(name, value)
        fleet = Fleet.from_abra()
        snap = fleet.snapshot()
        path = tmp_path_factory.mktemp("saved") / "monday.opskit"
        snap.save(path)
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        (elsewhere / "servers").mkdir()
        yield SimpleNamespace(
            fleet=fleet,
            snap=snap,
            saved=Snapshot.load(path),
            other=Fleet(elsewhere).snapshot(),
            elsewhere=elsewhere,
            journal=demo_fleet.root / "state" / "journal.sqlite",
            part=Fleet.from_abra(servers=["garden.example"]).snapshot(),
            plan=fleet.plan_rotate([TOKEN]),
            book=Runbook("Misuse", fresh=True),
        )
    TRANSPORT.close()


Call = Callable[[Any], object]

OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"deploy": "service"}, f"deploy is 'service'. {MODES}"),
    ({"deploy": None}, f"deploy is None. {MODES}"),
    ({"deploy": ["stack"]}, f"deploy is a list. {MODES}"),
    ({"timeout": 0}, "timeout is 0. Give a number of seconds, more than 0, at most a week."),
    (
        {"timeout": float("inf")},
        "timeout is inf. Give a number of seconds, more than 0, at most a week.",
    ),
    (
        {"timeout": 1e308},
        "timeout is 1e+308. Give a number of seconds, more than 0, at most a week.",
    ),
    (
        {"timeout": "300"},
        "timeout is a str. Give a number of seconds, more than 0, at most a week.",
    ),
    ({"timeout": True}, "timeout is True. Give a number of seconds, more than 0, at most a week."),
    ({"stable": -1}, "stable is -1. Give a number of seconds, 0 or more, at most a week."),
    (
        {"stable": float("nan")},
        "stable is nan. Give a number of seconds, 0 or more, at most a week.",
    ),
    ({"probe": "https://a.example"}, "probe is a str. Give an opskit.Probe(kind=…, target=…)."),
    ({"policy": "words"}, "policy is a str. Give an opskit.Policy(generator=…)."),
    ({"commit": "no"}, f"commit is a str, neither true nor false. {FLAG}"),
    ({"use_pass": None}, f"use_pass is None, neither true nor false. {FLAG}"),
    ({"no_hook": 0}, f"no_hook is an int, neither true nor false. {FLAG}"),
    ({"keep_failed": 1}, f"keep_failed is an int, neither true nor false. {FLAG}"),
    ({"pass_template": ""}, f"pass_template is empty. {TEMPLATE}"),
    (
        {"pass_template": "{host}/{app}/{secret}"},
        "the pass path template '{host}/{app}/{secret}' cannot be filled. It may use {server}, "
        "{app} and {secret}.",
    ),
    (
        {"pass_template": "hosts/{server}/{app}"},
        "the pass path template 'hosts/{server}/{app}' lacks {secret}, so one secret would be "
        f"written over another. {TEMPLATE}",
    ),
    ({"hook": "mysql"}, f"'mysql' {HOOK}"),
    ({"hook": ["postgres"]}, 'hook is a list, not a text. Give a text, such as "postgres:db".'),
    ({"hooks": "postgres"}, f"hooks is a str. {HOOKS}"),
    ({"hooks": {"wordpress": "mysql"}}, f"'mysql' {HOOK}"),
    ({"hooks": {"wordpress": None}}, f"the hook of wordpress is None, not a text. {HOOKS}"),
    ({"root": "/tmp"}, "root is a str. Leave it out: the fleet knows its folder."),
]

CALLS: list[tuple[str, Call, str | Callable[[Any], str]]] = [
    # -- how values are made, and what is asked from outside
    (
        "a generator that is none",
        lambda g: Policy(generator="word"),  # type: ignore[arg-type]
        f"generator is 'word'. Choose from: {', '.join(GENERATORS)}.",
    ),
    (
        "a length that is no number",
        lambda g: Policy(length=32.5),  # type: ignore[arg-type]
        "length is 32.5. Give a whole number, 1 or more.",
    ),
    (
        "a charset that is a list",
        lambda g: Policy(charset=["hex"]),  # type: ignore[arg-type]
        "charset is a list, not a text. Name one, such as hex.",
    ),
    (
        "a command in one text",
        lambda g: Policy(generator="command", command="pwgen 32"),  # type: ignore[arg-type]
        f"command is one text, where a list is meant. {NAMES}",
    ),
    (
        "a length of less than nothing",
        lambda g: Policy(length=-3),
        "length is -3. Give a whole number, 1 or more.",
    ),
    (
        "a charset that is none",
        lambda g: Policy(charset="klingon"),
        "the charset 'klingon' is not known. Name one or several of default, hex, safespecial, "
        "special, comma-joined.",
    ),
    (
        "a program that nobody named",
        lambda g: Policy(generator="command"),
        "a command goes with the generator 'command', and only with it. Name a program, or another "
        "generator.",
    ),
    (
        "a kind of probe that is none",
        lambda g: Probe(kind="https", target=("https://a.example",)),  # type: ignore[arg-type]
        "the probe's kind is 'https'. Choose from: http, tcp, command.",
    ),
    (
        "a probe's target in one text",
        lambda g: Probe(kind="http", target="https://a.example"),  # type: ignore[arg-type]
        f"the probe's target is one text, where a list is meant. {NAMES}",
    ),
    (
        "a probe's status in a text",
        lambda g: Probe(kind="http", target=("https://a.example",), status="200"),  # type: ignore[arg-type]
        "the probe's status is a str. Give a whole number, 100 or more.",
    ),
    (
        "a value that is a number",
        lambda g: Secret(4711),  # type: ignore[arg-type]
        "the secret's value is an int. Give a text or bytes.",
    ),
    # -- fleets and snapshots
    (
        "one server's name for a list",
        lambda g: Fleet(g.fleet.root, servers="coop.example"),
        f"servers is one text, where a list is meant. {NAMES}",
    ),
    (
        "one server's name for a list, from abra's folder",
        lambda g: Fleet.from_abra(servers="coop.example"),
        f"servers is one text, where a list is meant. {NAMES}",
    ),
    (
        "servers without a name",
        lambda g: Fleet(g.fleet.root, servers=[""]),
        f"one of servers is empty. {NAMES}",
    ),
    ("a fleet of nothing", lambda g: Fleet(None), "root is None, not a text. Give a path."),  # type: ignore[arg-type]
    ("a fleet of an empty path", lambda g: Fleet(""), "root is empty. Give a path."),
    (
        "a deadline of no time",
        lambda g: Fleet(g.fleet.root, deadline=0),
        "deadline is 0. Give a number of seconds, more than 0, at most a week.",
    ),
    (
        "a number of threads for an executor",
        lambda g: g.fleet.snapshot(executor=8),
        "executor is an int. Give one of concurrent.futures, or of its kind.",
    ),
    (
        "a fleet read by a number of threads",
        lambda g: Fleet.from_abra(executor=8),  # type: ignore[arg-type]
        "executor is an int. Give one of concurrent.futures, or of its kind.",
    ),
    (
        "a server near a number",
        lambda g: Fleet(g.fleet.root, executor={"coop.example": 8}),  # type: ignore[dict-item]
        "executor['coop.example'] is an int. Give one of concurrent.futures, or of its kind.",
    ),
    (
        "a number near nobody",
        lambda g: Fleet(g.fleet.root, executor={8: None}),  # type: ignore[dict-item]
        "executor's server is an int, not a text. Name servers as abra does.",
    ),
    (
        "a word for a flag",
        lambda g: g.fleet.snapshot(with_pass="yes"),
        f"with_pass is a str, neither true nor false. {FLAG}",
    ),
    (
        "a progress that is none",
        lambda g: g.fleet.snapshot(progress=print),
        "progress.advance is None. Give a function.",
    ),
    (
        "a snapshot of a snapshot",
        lambda g: Snapshot(g.snap),
        "facts is a Snapshot. Give what fleet.snapshot() or Snapshot.load() reads.",
    ),
    (
        "a difference from a file's name",
        lambda g: g.snap.diff("monday.opskit"),
        "earlier is a str. Give a snapshot, such as Snapshot.load(…).",
    ),
    ("a path that is none", lambda g: Snapshot.load(7), "path is an int, not a text. Give a path."),  # type: ignore[arg-type]
    (
        "uses of a list",
        lambda g: g.snap.uses_of(APP, ["admin_password"]),
        "secret is a list, not a text. Name one, as it stands in snap.secrets.",
    ),
    (
        "a severity that is none",
        lambda g: g.snap.fail_on("severe"),
        "there is no severity called 'severe'. Choose from: critical, high, medium, low, info",
    ),
    (
        "what a person could know, of nobody",
        lambda g: g.fleet.known_to("", g.snap),
        "person is empty. Name an address or a key id.",
    ),
    (
        "a store compared with a file's name",
        lambda g: g.fleet.compare_pass("monday.opskit"),
        "snap is a str. Give what fleet.snapshot() gave.",
    ),
    # -- what to change
    (
        "an app of which no secret is named",
        lambda g: g.fleet.plan_rotate(APP),
        f"no secret of {APP} is named. {SAY_APP}",
    ),
    (
        "an app of which no secret is named, to remove",
        lambda g: g.fleet.plan_remove(APP),
        f"no secret of {APP} is named. {SAY_APP}",
    ),
    (
        "an app and an empty list",
        lambda g: g.fleet.plan_rotate(APP, []),
        f"no secret of {APP} is named. It declares: db_password, admin_password, "
        "db_root_password, collabora_password.",
    ),
    (
        "an app without a name",
        lambda g: g.fleet.plan_rotate("", "admin_password"),
        f"app is empty. {SAY_APP}",
    ),
    (
        "a secret without a name",
        lambda g: g.fleet.plan_rotate(APP, ""),
        "secret is empty. Name one that the app declares.",
    ),
    (
        "a secret that is a number",
        lambda g: g.fleet.plan_rotate(APP, [1]),
        f"one of secrets is an int, not a text. {NAMES}",
    ),
    (
        "a secret the app does not declare",
        lambda g: g.fleet.plan_rotate(APP, "token"),
        f"{APP} declares no secret called 'token'. It declares: db_password, "
        "admin_password, db_root_password, collabora_password.",
    ),
    (
        "secrets beside a selection",
        lambda g: g.fleet.plan_rotate([TOKEN], "admin_password"),
        f"secrets are named beside a selection that holds them already. {SAY_APP}",
    ),
    (
        "secrets of everything",
        lambda g: g.fleet.plan_prune(None, "admin_password"),
        f"secrets are named, and no app. {SAY_APP}",
    ),
    ("nothing to rotate", lambda g: g.fleet.plan_rotate(None), f"the selection is None. {SELECT}"),
    (
        "one triple for a list of them",
        lambda g: g.fleet.plan_rotate(TOKEN),
        f"the selection holds a str that is no (server, app, secret). {SELECT}",
    ),
    (
        "pairs for triples",
        lambda g: g.fleet.plan_remove([TOKEN[1:]]),
        f"the selection holds a tuple that is no (server, app, secret). {SELECT}",
    ),
    (
        "a triple without a secret",
        lambda g: g.fleet.plan_restore([("coop.example", APP, "")]),
        f"the selection holds a tuple that is no (server, app, secret). {SELECT}",
    ),
    (
        "a dictionary",
        lambda g: g.fleet.plan_rotate({"app": APP}),
        f"the selection is a dict. {SELECT}",
    ),
    (
        "a column of the view",
        lambda g: g.fleet.plan_rotate(g.snap.secrets["secret"]),
        f"the selection is a Series. {SELECT}",
    ),
    (
        "a mask over the view",
        lambda g: g.fleet.plan_prune(g.snap.secrets["age_days"] > 90),
        f"the selection is a Series. {SELECT}",
    ),
    (
        "one row of the view",
        lambda g: g.fleet.plan_remove(g.snap.secrets.iloc[0]),
        f"the selection is a Series. {SELECT}",
    ),
    (
        "a frame of another kind",
        lambda g: g.fleet.plan_rotate(g.snap.apps),
        "the selection lacks the columns secret. Select rows of snap.secrets, such as "
        "snap.secrets.select(…), all columns kept.",
    ),
    (
        "a frame of anything",
        lambda g: g.fleet.plan_restore(pd.DataFrame({"secret": ["admin_password"]})),
        "the selection lacks the columns app, server. Select rows of snap.secrets, such as "
        "snap.secrets.select(…), all columns kept.",
    ),
    (
        "a frame without rows",
        lambda g: g.fleet.plan_rotate(g.snap.secrets.iloc[:0]),
        "the selection is empty. Widen it; see: opskit secrets --where …",
    ),
    (
        "options that are a dictionary",
        lambda g: g.fleet.plan_rotate([TOKEN], options={"deploy": "stack"}),
        "options is a dict. Give opskit.Options(…).",
    ),
    (
        "options twice",
        lambda g: g.fleet.plan_rotate([TOKEN], Options(), Options()),
        "the options are given twice. Give them once.",
    ),
    (
        "a list of apps",
        lambda g: g.fleet.plan_generate([APP]),
        f"app is a list, not a text. {SAY_APP}",
    ),
    (
        "a number for a value",
        lambda g: g.fleet.plan_insert(APP, "admin_password", 4711),
        "value is an int. Give opskit.Secret(…), which shows nowhere.",
    ),
    (
        "a text for a value",
        lambda g: g.fleet.plan_insert(APP, "admin_password", "hunter2-hunter2"),
        "value is a str. Give opskit.Secret(…), which shows nowhere.",
    ),
    (
        "several secrets for one value",
        lambda g: g.fleet.plan_insert(APP, ["admin_password"], Secret("hunter2-hunter2")),
        "secret is a list, not a text. Name one that the app declares.",
    ),
    (
        "a version that is a number",
        lambda g: g.fleet.plan_insert(APP, "db_password", Secret("hunter2-hunter2"), version=2),
        "version is an int, not a text. Name one, such as v2.",
    ),
    (
        "fewer than none kept",
        lambda g: g.fleet.plan_prune([TOKEN], keep=-1),
        "keep is -1. Give a whole number, 0 or more.",
    ),
    (
        "one and a half kept",
        lambda g: g.fleet.plan_prune([TOKEN], keep=1.5),
        "keep is 1.5. Give a whole number, 0 or more.",
    ),
    (
        "a word for may_be_empty",
        lambda g: g.fleet.plan_remove([TOKEN], may_be_empty="no"),
        f"may_be_empty is a str, neither true nor false. {FLAG}",
    ),
    (
        "a word for from_pass",
        lambda g: g.fleet.plan_restore([TOKEN], from_pass="no"),
        f"from_pass is a str, neither true nor false. {FLAG}",
    ),
    (
        "a file's name for a snapshot",
        lambda g: g.fleet.plan_rotate([TOKEN], snapshot="monday.opskit"),
        f"snapshot is a str. {TAKE}",
    ),
    (
        "a snapshot that was read from a file",
        lambda g: g.fleet.plan_deploy(APP, snapshot=g.saved),
        f"the snapshot was read from a file, and a plan needs one that was taken now. {TAKE}",
    ),
    (
        "a snapshot of another fleet",
        lambda g: g.fleet.plan_prune(snapshot=g.other),
        lambda g: f"the snapshot is of another fleet, {g.elsewhere}. {TAKE}",
    ),
    (
        "a snapshot without the server",
        lambda g: g.fleet.plan_rotate([TOKEN], snapshot=g.part),
        f"there is no app called 'coop.example/{APP}'. See what there is: opskit apps",
    ),
    # -- whole apps
    (
        "an app that is a triple",
        lambda g: g.fleet.plan_deploy(TOKEN),
        "app is a tuple, not a text. Name one, as it stands in opskit apps.",
    ),
    (
        "a version to deploy that is a number",
        lambda g: g.fleet.plan_deploy(APP, version=1.2),
        "version is a float, not a text. Name one, such as 1.2.0+2.1.",
    ),
    (
        "one service for a list",
        lambda g: g.fleet.plan_restart(APP, "app"),
        f"services is one text, where a list is meant. {NAMES}",
    ),
    (
        "options where services are meant",
        lambda g: g.fleet.plan_restart(APP, Options()),
        f"services is an Options, not a list. {NAMES}",
    ),
    (
        "services that are none",
        lambda g: g.fleet.plan_restart(APP, []),
        f"no service of {APP} is named. It has: app, cache, collabora, cron, db.",
    ),
    (
        "an app without a name to take down",
        lambda g: g.fleet.plan_undeploy(" "),
        "app is empty. Name one, as it stands in opskit apps.",
    ),
    (
        "a recipe that is a list",
        lambda g: g.fleet.plan_new(["wordpress"], server="coop.example", domain="a.example"),
        "recipe is a list, not a text. Name one, such as wordpress.",
    ),
    (
        "an app on no server",
        lambda g: g.fleet.plan_new("wordpress", server="", domain="a.example"),
        "server is empty. Name a folder below servers/.",
    ),
    (
        "an .env as text",
        lambda g: g.fleet.plan_config(APP, "TYPE=nextcloud"),
        "content is a str. Give the whole new text as bytes.",
    ),
    (
        "a word for commit",
        lambda g: g.fleet.plan_config(APP, b"TYPE=nextcloud", commit="no"),
        f"commit is a str, neither true nor false. {FLAG}",
    ),
    (
        "a word for status",
        lambda g: g.fleet.apps(status="no"),
        f"status is a str, neither true nor false. {FLAG}",
    ),
    (
        "no lines",
        lambda g: g.fleet.logs(APP, tail=0),
        "tail is 0. Give a whole number, 1 or more.",
    ),
    (
        "one service's lines",
        lambda g: g.fleet.logs(APP, "app"),
        f"services is one text, where a list is meant. {NAMES}",
    ),
    # -- plans and runs
    (
        "a person for an identity",
        lambda g: g.plan.apply(identity=None),
        "identity is None, not a text. Name the person.",
    ),
    (
        "no stacks at once",
        lambda g: g.plan.apply(max_parallel=0),
        "max_parallel is 0. Give a whole number, 1 or more.",
    ),
    (
        "a word for keep_going",
        lambda g: g.plan.apply(keep_going="no"),
        f"keep_going is a str, neither true nor false. {FLAG}",
    ),
    (
        "an option no run has",
        lambda g: g.plan.apply(max_paralel=2),
        f"a run takes no 'max_paralel'. {RUN_OPTIONS}",
    ),
    (
        "an option no resumed run has",
        lambda g: g.fleet.resume(on_made=print),
        f"a run takes no 'on_made'. {RUN_OPTIONS}",
    ),
    (
        "progress told to nobody",
        lambda g: g.plan.apply(on_progress=None),
        "on_progress is None. Give a function.",
    ),
    (
        "values given to nobody",
        lambda g: g.plan.apply(on_made="print"),
        "on_made is a str. Give a function.",
    ),
    (
        "one plan joined",
        lambda g: Plan.join(g.plan),
        "plans is a Plan. Give a list of plans.",
    ),
    (
        "plans joined with none",
        lambda g: Plan.join([g.plan, None]),  # type: ignore[list-item]
        "one of the plans is None. Give a list of plans.",
    ),
    ("a run that is none", lambda g: g.fleet.resume(7), f"run is an int, not a text. {RUN}"),
    ("nothing to undo", lambda g: g.fleet.rollback(None), f"run is None, not a text. {RUN}"),
    (
        "a run nobody knows",
        lambda g: g.fleet.resume("no such run"),
        lambda g: (
            f"there is no run 'no such run' in the journal {g.journal}. List the runs with: opskit "
            "journal"
        ),
    ),
    (
        "a run resumed by a number",
        lambda g: g.fleet.resume(identity=7),
        "identity is an int, not a text. Name the person.",
    ),
    (
        "a lock on a list of servers",
        lambda g: g.fleet.break_lock(["coop.example"], "cloud_coop_example"),
        "server is a list, not a text. Name one, as it stands in fleet.locks().",
    ),
    (
        "a lock of no stack",
        lambda g: g.fleet.break_lock("coop.example", ""),
        "stack is empty. Name one, as it stands in fleet.locks().",
    ),
    (
        "a lock that nobody holds",
        lambda g: g.fleet.break_lock("coop.example", "cloud_coop_example"),
        "cloud_coop_example on coop.example is not locked. See: opskit locks",
    ),
    # -- forms
    (
        "a form without a fleet",
        lambda g: forms.rotate(g.snap),
        "fleet is a Snapshot. Give opskit.Fleet.from_abra().",
    ),
    (
        "a form for a folder",
        lambda g: forms.browse("~/.abra"),  # type: ignore[arg-type]
        "fleet is a str. Give opskit.Fleet.from_abra().",
    ),
    (
        "a form for several apps",
        lambda g: forms.deploy(g.fleet, app=[APP]),
        "app is a list, not a text. Name one, as it stands in fleet.apps().",
    ),
    (
        "a form for several secrets",
        lambda g: forms.insert(g.fleet, app=APP, secret=None),
        "secret is None, not a text. Name one that the app declares.",
    ),
    (
        "a form for one app's name",
        lambda g: forms.rotate(g.fleet, selection=APP),
        f"the selection is a str. {SELECT}",
    ),
    (
        "approval of a run",
        lambda g: forms.approve(g.fleet),
        "plan is a Fleet. Give what fleet.plan_…(…) gave.",
    ),
    (
        "approval by nobody",
        lambda g: forms.approve(g.plan, needed=0),
        "needed is 0. Give a whole number, 1 or more.",
    ),
    (
        "a field that tells nobody",
        lambda g: forms.SecretInput("Key", None),  # type: ignore[arg-type]
        "on_secret is None. Give a function.",
    ),
    (
        "a question that is none",
        lambda g: forms.ask(""),
        "what is empty. Say what is asked for.",
    ),
    # -- tables and pictures
    (
        "one column's name for a list, to compare",
        lambda g: g.snap.secrets.like(g.snap.secrets, on="server"),
        f"on is one text, where a list is meant. {NAMES}",
    ),
    (
        "a column's values for a table",
        lambda g: g.snap.secrets.like(["cloud.coop.example"]),
        "other is a list. Give a table, such as rows of a view.",
    ),
    (
        "one column's name for a list, to keep",
        lambda g: g.snap.secrets.pick("server"),
        f"names is one text, where a list is meant. {NAMES}",
    ),
    (
        "a table saved to nowhere",
        lambda g: g.snap.secrets.save(None),
        "path is None, not a text. Give a path.",
    ),
    (
        "a picture of a table",
        lambda g: pictures.age_map(g.snap.secrets),  # type: ignore[arg-type]
        "snap is a View. Give what fleet.snapshot() or Snapshot.load(…) gave.",
    ),
    (
        "a picture of a file's name",
        lambda g: pictures.states("monday.opskit"),  # type: ignore[arg-type]
        "snap is a str. Give what fleet.snapshot() or Snapshot.load(…) gave.",
    ),
    (
        "a map of a fleet that was not read",
        lambda g: pictures.fleet_map(g.fleet),
        "snap is a Fleet. Give what fleet.snapshot() or Snapshot.load(…) gave.",
    ),
    (
        "a trend of one snapshot",
        lambda g: pictures.findings_trend(g.snap),
        "snaps is a Snapshot. Give a list of snapshots.",
    ),
    (
        "a trend of files' names",
        lambda g: pictures.findings_trend(["monday.opskit"]),  # type: ignore[list-item]
        "snap is a str. Give what fleet.snapshot() or Snapshot.load(…) gave.",
    ),
    (
        "a picture of a plan",
        lambda g: pictures.timeline(g.plan),
        "run is a Plan, not a text. Give a run, or the id of one: see fleet.journal().",
    ),
    # -- runbooks
    (
        "a runbook without a title",
        lambda g: Runbook(""),
        'a runbook needs a title. Give a text, such as "Rotate".',
    ),
    (
        "a word for fresh",
        lambda g: Runbook("Misuse", fresh="no"),  # type: ignore[arg-type]
        f"fresh is a str, neither true nor false. {FLAG}",
    ),
    (
        "a runbook by nobody",
        lambda g: Runbook("Misuse", who=None),  # type: ignore[arg-type]
        "who is None, not a text. Name the person.",
    ),
    (
        "a step that is a number",
        lambda g: g.book.step(1),
        'a step needs a title. Give a text, such as "Rotate".',
    ),
    (
        "a word for rerun",
        lambda g: g.book.step("Revoke", rerun="no"),
        f"rerun is a str, neither true nor false. {FLAG}",
    ),
    (
        "a check of a function",
        lambda g: g.book.check("it answers", lambda: True),
        "the check 'it answers' got a function, which is neither true nor false. Say what of it "
        "must hold: f(), table.empty, len(table) == 3.",
    ),
    (
        "a check of nothing",
        lambda g: g.book.check(True, "it answers"),
        "what is a bool, not a text. Say what must hold.",
    ),
    (
        "a note of nothing",
        lambda g: g.book.note(None),
        "text is None, not a text. Say what was seen.",
    ),
    (
        "a secret to keep",
        lambda g: g.book.keep(Secret("hunter2-hunter2")),
        "a runbook cannot keep a Secret. Give it a table, a plan, a run or a picture.",
    ),
    (
        "a decision of one text",
        lambda g: g.book.decision("Go on?", "yes"),
        f"options is one text, where a list is meant. {NAMES}",
    ),
    (
        "a decision of nothing",
        lambda g: g.book.decision("Go on?", []),
        'there is nothing to choose from. Give ["yes", "no"].',
    ),
    (
        "a plan for a step that is a number",
        lambda g: g.book.apply(g.plan, 1),
        'a step needs a title. Give a text, such as "Rotate".',
    ),
    (
        "a plan's name to apply",
        lambda g: g.book.apply("rotate", "Rotate"),
        "plan is a str. Give what fleet.plan_…(…) gave.",
    ),
    (
        "nobody's yes",
        lambda g: g.book.apply(g.plan, "Rotate", needed=0),
        "needed is 0. Give a whole number, 1 or more.",
    ),
    (
        "a word that is a yes",
        lambda g: g.book.apply(g.plan, "Rotate", confirm=True),
        "confirm is a bool, not a text. Give the word as a text.",
    ),
    (
        "a step after a step",
        lambda g: g.book.step("Verify", after=g.book.step("Look")),
        "after is a Step, not a text. Name the step that it follows.",
    ),
    (
        "one plan that was read",
        lambda g: Runbook("Misuse", approved="05e838050b7a"),  # type: ignore[arg-type]
        f"approved is one text, where a list is meant. {NAMES}",
    ),
    (
        "a word for a dry run",
        lambda g: Runbook("Misuse", dry_run="no"),  # type: ignore[arg-type]
        f"dry_run is a str, neither true nor false. {FLAG}",
    ),
    (
        "one name to remember",
        lambda g: g.book.remember("Leaked", "token_v1"),
        f"names is one text, where a list is meant. {NAMES}",
    ),
    (
        "half a signature",
        lambda g: g.book.sign_off(needed=0.5),
        "needed is 0.5. Give a whole number, 0 or more.",
    ),
    (
        "a report to nowhere",
        lambda g: g.book.finish(report=None),
        "report is None, not a text. Give a path.",
    ),
]


@pytest.mark.parametrize(
    ("options", "sentence"), OPTIONS, ids=[repr(options) for options, _ in OPTIONS]
)
def test_options_that_are_none_are_refused_when_they_are_made(
    options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError) as refused:
        Options(**options)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("call", "sentence"), [row[1:] for row in CALLS], ids=[name for name, *_ in CALLS]
)
def test_a_call_with_something_else_is_refused_in_a_sentence(
    given: Any, call: Call, sentence: str | Callable[[Any], str]
) -> None:
    with pytest.raises(OpskitError) as refused:
        call(given)
    assert str(refused.value) == (sentence if isinstance(sentence, str) else sentence(given))
    assert "hunter2" not in str(refused.value)


def test_nothing_of_all_this_was_written_down(given: Any) -> None:
    assert given.fleet.journal().empty
    assert not given.book.steps.to_dict("records")


def test_one_secret_several_or_a_frame_give_the_same_plan(given: Any) -> None:
    fleet, rows = given.fleet, given.snap.secrets.query("app == @APP and declared")
    one = rows.query("secret == 'admin_password'")
    assert fleet.plan_rotate(APP, "admin_password").digest == fleet.plan_rotate(one).digest
    assert fleet.plan_rotate(APP, ["admin_password", "collabora_password"]).digest == (
        fleet.plan_rotate(rows.query("secret in ('admin_password', 'collabora_password')")).digest
    )
    assert fleet.plan_rotate(
        f"coop.example/{APP}", "admin_password", Options(timeout=9)
    ).digest == (fleet.plan_rotate([TOKEN], Options(timeout=9)).digest)
    assert fleet.plan_prune(APP, keep=0).digest == fleet.plan_prune(rows, keep=0).digest


def test_a_path_may_be_a_text(given: Any, tmp_path: Path) -> None:
    (tmp_path / "value").write_text("hunter2-hunter2\n")
    assert Fleet(str(given.fleet.root)).root == given.fleet.root
    assert Secret.from_file(str(tmp_path / "value")) == Secret("hunter2-hunter2")
    assert opskit.Snapshot.load_all(str(tmp_path)) == []
