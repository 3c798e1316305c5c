"""A runbook's report: whole, self-contained, and harmless whatever is written in it."""

from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

import opskit
from opskit.cli.app import run as run_cli
from opskit.errors import InputError
from opskit.pictures import Picture
from opskit.pictures.picture import OUTCOMES
from opskit.widgets.person import Person

ADA = Person(username="ada", name="Ada")
NASTY = "<script>alert(1)</script>|`x`\u202e\x1b[31m"


@pytest.fixture
def rb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> opskit.Runbook:
    monkeypatch.setenv("OPSKIT_STATE_DIR", str(tmp_path / "state"))
    return opskit.Runbook("Leaked SMTP key", who="Ben", fresh=True)


class Tags(HTMLParser):
    """Collects tags and what they refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.refers: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.refers += [str(value) for name, value in attrs if name in ("src", "href")]


def fill(rb: opskit.Runbook, words: str) -> None:
    with rb.step(f"Revoke {words}"):
        rb.note(f"Note {words}", who=f"Ada {words}")
        rb.check(f"Check {words}", False, f"Detail {words}", stop=False)
    rb.keep(pd.DataFrame({f"Column {words}": [f"Cell {words}"]}), f"Table {words}")
    rb.decision(f"Decide {words}?", [f"Now {words}"]).decide(f"Now {words}", ADA)
    rb.sign_off(f"Sign {words}").sign(ADA)


def test_it_holds_everything_that_was_written(rb: opskit.Runbook, tmp_path: Path) -> None:
    fill(rb, "one")
    for suffix in (".html", ".md"):
        text = rb.report(tmp_path / f"report{suffix}").read_text()
        for said in ("Leaked SMTP key", "Revoke one", "Note one", "Check one", "Detail one",
                     "Column one", "Cell one", "Table one", "Decide one?", "Now one", "Sign one",
                     "Ada (ada)", "Ben", rb.id):  # fmt: skip
            assert said in text, said


def test_it_needs_nothing_else_and_runs_nothing(rb: opskit.Runbook, tmp_path: Path) -> None:
    fill(rb, NASTY)
    rb.keep(Picture(title=NASTY, alt=NASTY, note=NASTY, svg="<svg></svg>", numbers=rb.steps))
    text = rb.report(tmp_path / "report.html").read_text()
    seen = Tags(text)
    assert "script" not in seen.tags
    assert not [one for one in seen.refers if not one.startswith("#")]
    assert "default-src 'none'" in text
    assert not re.search("[\x1b\u202e]", text)
    markdown = rb.report(tmp_path / "report.md").read_text()
    assert "<script>" not in markdown
    assert r"\|\`x\`" in markdown


def test_a_signature_stands_for_what_was_written_before_it(
    rb: opskit.Runbook, tmp_path: Path
) -> None:
    fill(rb, "one")
    rb.note("something later")
    assert "changed since" not in rb.report(tmp_path / "report.html").read_text()
    rb._log._database.write("UPDATE entries SET text = 'forged' WHERE kind = 'note'")
    assert "changed since" in rb.report(tmp_path / "report.html").read_text()


def test_signing_while_a_step_runs_covers_what_has_ended(
    rb: opskit.Runbook, tmp_path: Path
) -> None:
    rb.note("before")
    with rb.step("Rotate"):
        rb.sign_off().sign(ADA)
    assert "changed since" not in rb.report(tmp_path / "report.html").read_text()


def test_a_report_of_nothing_can_be_made(rb: opskit.Runbook, tmp_path: Path) -> None:
    assert "Nothing yet" in rb.report(tmp_path / "report.html").read_text()


def test_a_report_says_what_file_it_takes(rb: opskit.Runbook, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"saved as \.html or \.md"):
        rb.report(tmp_path / "report.pdf")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        rb.report(tmp_path / "file" / "report.md")
    assert rb.report(tmp_path / "new" / "folder" / "report.md").exists()


def test_only_long_cells_of_a_report_may_break_inside_of_words(
    rb: opskit.Runbook, tmp_path: Path
) -> None:
    path = "hosts/mutual.example/matrix.mutual.example/secret"
    rb.keep(pd.DataFrame({"server": ["mutual.example"], "path": [path]}), "Store")
    text = rb.report(tmp_path / "report.html").read_text()
    assert f'<td class="long">{path}</td>' in text
    assert "<td>mutual.example</td>" in text
    assert re.search(r"td\.long {[^}]*overflow-wrap: anywhere", text)


def test_a_report_is_for_its_owner_to_read(rb: opskit.Runbook, tmp_path: Path) -> None:
    for suffix in (".html", ".md"):
        path = rb.report(tmp_path / "new" / f"report{suffix}")
        assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0


def test_the_time_line_is_a_table_and_a_picture(rb: opskit.Runbook) -> None:
    fill(rb, "one")
    line = rb.timeline()
    assert line["kind"].tolist() == ["step", "note", "check", "table", "decision", "signature"]
    assert line["text"].tolist()[-2:] == ["Decide one? → Now one", "Sign one"]
    shown = line._repr_mimebundle_()
    assert shown["text/html"].count("<svg") == 1
    assert "1 step, 1 check, 1 note" in line.picture.alt
    assert type(line[line["kind"] == "note"]).__name__ == "View"


def test_the_picture_has_a_size_before_anything_was_checked_or_signed(
    rb: opskit.Runbook,
) -> None:
    assert "Infinity" not in rb.timeline().picture.svg
    with rb.step("Look"):
        pass
    assert "Infinity" not in rb.timeline().picture.svg


def test_points_are_seen_on_the_bars_and_nothing_is_said_of_a_step_that_runs(
    rb: opskit.Runbook,
) -> None:
    with rb.step("Rotate"):
        rb.note("seen")
        rb.check("well", False, stop=False)
        drawing = rb.timeline().picture.svg
    assert re.findall(r'aria-roledescription="point"[^>]* fill="([^"]+)"', drawing) == [
        "currentColor",
        OUTCOMES["failed"],
    ]
    assert ">running<" in drawing
    assert " s, running" not in drawing


def test_past_runbooks_are_listed_and_reported_from_a_terminal(
    rb: opskit.Runbook, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(rb, "one")
    assert run_cli(["runbooks", "--format", "csv"]) == 0
    head, row = csv.reader(capsys.readouterr().out.splitlines())
    assert head[:5] == ["book", "title", "status", "steps", "failed"]
    assert row[:6] == [rb.id, "Leaked SMTP key", "open", "1", "0", "Ben"]
    assert run_cli(["report", rb.id[:17], str(tmp_path / "x.md")]) == 0
    assert "Note one" in (tmp_path / "x.md").read_text()
    assert run_cli(["report", "none", str(tmp_path / "y.md")]) == 2
    assert "no runbook begins with 'none'" in capsys.readouterr().err
