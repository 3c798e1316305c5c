"""Text that others wrote is inert in every skin: a fleet whose every name is an attack."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

import opskit
from opskit import pictures
from opskit.audit.remedies import Remedies
from opskit.cli.app import _Inert, run
from opskit.cli.live import shown_steps
from opskit.demo.engine import Swarm
from opskit.errors import EngineError
from opskit.inert import no_formula, visible
from opskit.progress import NotebookProgress, TerminalProgress
from opskit.run.work import Progressed
from opskit.swarm.transport import TRANSPORT, Transport
from opskit.views.frame import View
from opskit.views.terminal import TextTable
from opskit.widgets.session import Session
from tests.conftest import embedded
from tests.stage import SERVER, Stage
from tests.waiting import eventually

KINDS = {
    "a formula": "=cmd|'!A1",
    "colour": "\x1b[31mred\x1b[0m",
    "cursor": "\x1b[2J\x1b[1A\r\x08",
    "title": "\x1b]0;title\x07",
    "C1": "\x9b2J\x85",
    "direction": "\u202eabc\u2066\u061c",
    "no width": "a\u200bb\ufeffc\U000e0041",
    "separators": "a\u2028b\u2029",
    "html": "<img src=x onerror=alert(1)><script>",
    "rich markup": "[red][link=x]y[@click=app.quit]",
    "markdown": "[y](javascript:alert(1)) ![y](x) $x$ \\(x\\) `x` **b** &lt;b&gt;",
    "shell": "$(touch pwned); `id` 'q' \"d\" & | > x",
    "pandas": "' or @pd == '",
}
EVIL = "".join(KINDS.values())
FILE = "".join(KINDS[kind] for kind in ("a formula", "html", "rich markup", "shell", "pandas"))
"""As much as may be in the name of a file that is changed."""
RECIPE = """
services:
  app: {{image: x, secrets: [token]}}
secrets:
  token: {{external: true, name: "{stack}_token_${{SECRET_TOKEN_VERSION}}"}}
"""
VIEWS = ("servers", "apps", "secrets", "services", "tasks", "nodes", "configs", "networks")


@dataclass(frozen=True)
class Hostile:
    """A fleet whose files, swarm and journal are full of attacks."""

    fleet: opskit.Fleet
    snap: opskit.Snapshot
    app: str


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    root = tmp_path_factory.mktemp("hostile")
    swarm = Swarm(EVIL)
    swarm.secrets.seed(f"{EVIL}_pw_v1", labels={EVIL: EVIL})
    swarm.configs.seed(f"{EVIL}_v1", labels={EVIL: EVIL})
    transport = Transport()
    with embedded(root / "docker.sock", swarm) as host, pytest.MonkeyPatch.context() as patch:
        stage = Stage(root, host, transport, stack="shop")
        for name, value in stage.env.items():
            patch.setenv(name, value)
        stage.write_files()
        stage.create("token_v1", "key_v1")
        stage.deploy("app", ["token", "key"])
        stage.post(
            "/services/create",
            {
                "Name": "lost",
                "Labels": {"com.docker.stack.namespace": EVIL, EVIL: EVIL,
                           "coop-cloud.shop.version": EVIL},
                "TaskTemplate": {
                    "ContainerSpec": {"Image": "missing"},
                    "RestartPolicy": {"Condition": "none"},
                },
            },
        )  # fmt: skip
        servers = stage.env_file.parent
        recipe = root / "abra" / "recipes" / "evil"
        recipe.mkdir()
        (recipe / "compose.yml").write_text(RECIPE.format(stack="evil"))
        (servers / f"{FILE}.env").write_text(
            "TYPE=evil\nSTACK_NAME=evil\nSECRET_TOKEN_VERSION=v1\n"
        )
        (servers / f"{KINDS['colour']}{KINDS['direction']}.env").write_text("TYPE=evil\n")
        (servers / "named.example.env").write_text(
            f"TYPE='{EVIL.replace(chr(39), '')}'\nDOMAIN=\"{EVIL.replace(chr(34), '')}\"\n"
            f"SECRET_TOKEN_VERSION=v1{EVIL}\nSECRET_KEY_VERSION=v1\n"
        )
        lost = eventually(
            lambda: [one for one in swarm.services.tasks if one.status.err], "a task to fail"
        )
        swarm.services.set_task(lost[0], "rejected", EVIL, err=EVIL)
        fleet = opskit.Fleet.from_abra()
        app = next(app for app in fleet.apps()["app"] if app.startswith("=cmd"))
        fleet.plan_generate(app).apply(identity=EVIL).raise_for_status()
        yield Hostile(fleet=fleet, snap=fleet.snapshot(), app=app)
    transport.close()
    TRANSPORT.close()


def unseen(text: str) -> set[str]:
    """Return the characters of a text that steer whoever reads it, or that nobody sees."""
    return {
        ascii(one)
        for one in text
        if unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") and one not in "\n\t"
    }


class Page(HTMLParser):
    """What a browser would make of HTML: its tags, its attributes and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [f"{name}={value}" for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def is_harmless(self) -> bool:
        """Tell whether nothing in it runs, loads or leads anywhere but to places of its own."""
        runs = [one for one in self.attributes if one.startswith(("on", "src=", "href="))]
        leads = [one for one in runs if not one.startswith("href=#")]
        return not (self.tags & {"img", "script", "a", "b"} or leads or unseen(self.text))


def texts_in(data: Any) -> Iterator[str]:
    match data:
        case str():
            yield data
        case dict():
            for key, value in data.items():
                yield from (key, *texts_in(value))
        case list() | tuple():
            for one in data:
                yield from texts_in(one)


# -- the functions ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_seen_is_replaced_and_all_else_stays(kind: str) -> None:
    shown = visible(KINDS[kind])
    assert not unseen(shown)
    assert len(shown) == len(KINDS[kind])
    seen = [one for one in KINDS[kind] if not unseen(one)]
    assert [one for one in shown if one != "\ufffd"] == seen


@pytest.mark.parametrize("text", ["Grüße, 東京 😀", "a\tb\n", "naïve", "\u00a0"])
def test_honest_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", " =1", "\uff1d1"])
def test_no_text_begins_a_formula(text: str) -> None:
    assert no_formula(text) == f"'{text}"
    assert no_formula(f"a{text}") == f"a{text}"


def test_an_error_says_nothing_that_steers(capsys: pytest.CaptureFixture[str]) -> None:
    error = EngineError(EVIL, server=EVIL)
    error.add_note(EVIL)
    for text in (str(error), *error._render_traceback_()):
        assert not unseen(text)


# -- the command line ---------------------------------------------------------------------------

COMMANDS = [*([name] for name in VIEWS), ["drift"], ["audit"], ["journal"], ["locks"],
            ["app", "ls", "-S"]]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_print_nothing_that_steers_a_terminal(
    command: list[str], hostile: Hostile, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("table", "csv", "json"):
        assert run([*command, "--format", form]) in (0, 1)
        out, err = capsys.readouterr()
        assert not unseen(out + err)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_cell_of_an_export_is_a_formula(
    command: list[str], hostile: Hostile, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--format", "csv"]) in (0, 1)
    text = capsys.readouterr().out
    for delimiter in ",;\t":
        for row in csv.reader(io.StringIO(text), delimiter=delimiter):
            # Parted at another sign than it was written with, a cell begins with its quote.
            assert not [one for one in row if one.lstrip().startswith(("=", "+", "-", "@"))]


def test_markup_in_names_is_shown_and_not_obeyed(
    hostile: Hostile, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("table", "csv"):
        assert run(["nodes", "--format", form]) == 0
        assert "[red][link=x]" in "".join(capsys.readouterr().out.split())


def test_json_says_exactly_what_the_server_said(
    hostile: Hostile, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["nodes", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["node"] == EVIL


def test_numbers_of_an_export_stay_numbers() -> None:
    table = View({"n": [-1, 2], "x": [-0.5, None], "text": ["-1", "=1"]})
    assert table.to_text_csv() == '"n","x","text"\n-1,-0.5,"\'-1"\n2,"","\'=1"\n'


@pytest.mark.parametrize(
    "command",
    [["secret", "rotate", "{app}", "token"], ["secret", "insert", "{app}", "nothing"],
     ["app", "deploy", "{app}"], ["app", "restart", "{app}"], ["secret", "rotate", EVIL, EVIL],
     ["secrets", "--server", EVIL], ["rollback", EVIL], ["journal", EVIL],
     ["break-lock", EVIL, EVIL],     ["secrets", "--where", EVIL]],
    ids=lambda words: " ".join(words)[:20],
)  # fmt: skip
def test_plans_and_refusals_say_nothing_that_steers(
    command: list[str], hostile: Hostile, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"value")))
    words = [word.replace("{app}", hostile.app) for word in command]
    run([*words, *(["--dry-run"] if command[0] in ("secret", "app") else [])])
    out, err = capsys.readouterr()
    assert out + err
    assert not unseen(out + err)


# -- commands to be copied ------------------------------------------------------------------------


def test_a_command_that_is_shown_names_exactly_what_it_is_about(hostile: Hostile) -> None:
    remedies = Remedies(hostile.snap)
    for remedy, words in (
        (remedies.renew(SERVER, hostile.app, "token"), ["secret", "rotate", hostile.app, "token"]),
        (remedies.deploy(SERVER, hostile.app), ["app", "deploy", hostile.app]),
        (
            remedies.prune(SERVER, hostile.app, "token"),
            ["secret", "prune", hostile.app, "token"],
        ),
    ):
        assert shlex.split(str(remedy)) == ["opskit", *words]


def test_a_condition_that_is_shown_selects_exactly_what_it_is_about(hostile: Hostile) -> None:
    orphan = f"{EVIL}_pw_v1"
    remedy = Remedies(hostile.snap).forget(SERVER, orphan, "")
    condition = shlex.split(str(remedy))[-1]
    assert hostile.snap.secrets.select(condition)["swarm_name"].tolist() == [orphan]


# -- notebooks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VIEWS)
def test_tables_in_notebooks_hold_no_markup(name: str, hostile: Hostile) -> None:
    view = getattr(hostile.snap, name)
    turned = View(view.astype(object).T)
    for table in (view, hostile.snap.audit(), hostile.fleet.journal(), turned):
        shown = table._repr_mimebundle_()
        assert Page(shown["text/html"]).is_harmless()
        assert not unseen(shown["text/plain"])


def test_names_that_became_columns_are_shown_and_not_obeyed() -> None:
    view = View(pd.DataFrame({EVIL: [1]}))
    assert Page(view._repr_html_()).is_harmless()
    console = Console(file=io.StringIO(), width=2000, color_system="truecolor", force_terminal=True)
    with console.capture() as capture:
        console.print(TextTable(cells=view.cells(list(view.columns)), caption=EVIL))
    assert capture.get().count("[red][link=x]") == 2


def test_a_plan_shows_no_markup(hostile: Hostile) -> None:
    for plan in (
        hostile.fleet.plan_rotate(hostile.app, "token"),
        hostile.fleet.plan_remove(hostile.app, "token"),
    ):
        shown = plan._repr_mimebundle_()
        assert Page(shown["text/html"].replace("<br>", "")).is_harmless()
        for text in (shown["text/plain"], repr(plan), repr(plan.calls), plan.calls._repr_html_()):
            assert not unseen(text)


def test_pictures_hold_no_markup(hostile: Hostile) -> None:
    for picture in (pictures.age_map(hostile.snap), pictures.fleet_map(hostile.snap)):
        assert Page(picture.to_html()).is_harmless()


@pytest.mark.parametrize("kind", ["rotate", "browse", "deploy"])
def test_the_state_of_a_form_holds_nothing_that_steers(kind: str, hostile: Hostile) -> None:
    session = Session(fleet=hostile.fleet, kind=kind, publish=lambda: None)
    session.begin()
    eventually(lambda: session.state["phase"], "a choice", lambda phase: phase == "choose")
    if kind == "rotate":
        session.handle(
            {"type": "plan", "who": {"username": EVIL, "name": EVIL},
             "rows": [[SERVER, hostile.app, "token"]]}, lambda _: None,
        )  # fmt: skip
        eventually(lambda: session.state["phase"], "a plan", lambda phase: phase == "planned")
        session._progressed(failed())
    for text in texts_in([session.state, session.rows, session.steps]):
        assert not unseen(text), text


# -- reports ------------------------------------------------------------------------------------


def test_reports_hold_no_markup_and_lead_nowhere(hostile: Hostile, tmp_path: Path) -> None:
    import mistune

    rb = opskit.Runbook(EVIL[:150], who="Ada")
    rb.note(EVIL, who=EVIL)
    rb.check(EVIL, False, EVIL, stop=False)
    rb.keep(hostile.snap.nodes, EVIL)
    rb.keep(View(pd.DataFrame({EVIL: [EVIL]})))
    page = Page(rb.report(tmp_path / "report.html").read_text())
    assert page.is_harmless()
    text = rb.report(tmp_path / "report.md").read_text()
    assert not unseen(text)
    read = Page(
        str(mistune.create_markdown(plugins=["table", "strikethrough", "url", "math"])(text))
    )
    assert not read.tags & {"img", "script", "a", "b", "strong", "code"}
    assert "\\(" not in read.text.replace("\\(x\\)", "")
    assert "math" not in str(read.attributes)
    assert "javascript:alert(1)" in read.text


# -- progress -----------------------------------------------------------------------------------


def failed() -> Progressed:
    return Progressed(
        unit=0, step=1, server=EVIL, app=EVIL, action="deploy", subject=EVIL, phase="do",
        status="failed", seconds=1.0, error=EVIL,
    )  # fmt: skip


class Terminal(io.StringIO):
    """A terminal, as far as rich can tell."""

    def isatty(self) -> bool:
        return True

    def said(self) -> str:
        """Return what was written without the colours and moves of rich's own."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", self.getvalue())


def test_bars_in_a_terminal_show_names_and_do_not_obey_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "4000")
    for show in (reading, applying):
        terminal = Terminal()
        monkeypatch.setattr("sys.stderr", terminal)
        show()
        assert "[red][link=x]" in terminal.said()
        assert not unseen(terminal.said())


def test_a_bar_of_the_command_line_is_drawn_and_not_made_harmless_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", _Inert(terminal))
    with TerminalProgress("Reading", 2) as bar:
        bar.advance("coop.example")
        bar._bar.refresh()
    assert "coop.example" in terminal.said()
    assert "\N{REPLACEMENT CHARACTER}" not in terminal.said()


def reading() -> None:
    with TerminalProgress("Reading", 2) as bar:
        bar.advance(EVIL)
        bar._bar.refresh()


def applying() -> None:
    with shown_steps(2) as told:
        told(failed())


def test_bars_in_a_notebook_show_names_and_do_not_obey_them() -> None:
    shown = NotebookProgress("Reading", 1)._bundle(EVIL)
    assert Page(shown["text/html"]).tags == {"progress"}
    assert not unseen(shown["text/plain"] + shown["text/html"])
