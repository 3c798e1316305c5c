"""`opskit app config`, with an editor that is a program."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import opskit
from opskit.cli.app import run
from opskit.errors import InputError, OpskitError
from opskit.settings import state_dir
from tests.abra.releases import ENVIRONMENT
from tests.stage import APP, Stage

Capture = pytest.CaptureFixture[str]
Edit = Callable[[str], None]


@pytest.fixture
def stage(embedded_stage: Stage) -> Stage:
    embedded_stage.write_files()
    return embedded_stage


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Let the editor be a shell script over the file `$1`, given in an option of its own."""

    def use(script: str) -> None:
        program = tmp_path / "my editor"
        program.write_text(f'#!/bin/sh\n[ "$1" = --wait ] && shift\n{script}\n')
        program.chmod(0o755)
        monkeypatch.delenv("VISUAL", raising=False)
        monkeypatch.setenv("EDITOR", f"'{program}' --wait")

    return use


class Terminal(io.StringIO):
    """Where an operator types."""

    def isatty(self) -> bool:
        return True


def config(*more: str) -> int:
    return run(["app", "config", APP, "--yes", *more])


def command_told(err: str) -> list[str]:
    """Give the command that goes on, as told on stderr."""
    (line,) = [line for line in err.splitlines() if line.startswith("go on with it: opskit ")]
    return shlex.split(line.removeprefix("go on with it: opskit "))


def kept_files() -> list[Path]:
    return [path for path in (state_dir() / "edits").rglob("*") if path.is_file()]


def test_the_edited_text_is_written_byte_for_byte_and_the_effect_is_told(
    stage: Stage, edit: Edit, capsys: Capture
) -> None:
    before = stage.env_file.read_bytes()
    stage.env_file.chmod(0o640)
    (stage.root / "abra/recipes/shop/.env.sample").write_text("PASSWORD=\n")
    edit("sed -i -e \"s/'v1'/'v2'/\" -e 's/not-to-be-touched/c4nary-new/' \"$1\"")
    assert config() == 0
    out, err = capsys.readouterr()

    after = before.replace(b"'v1'", b"'v2'").replace(b"not-to-be-touched", b"c4nary-new")
    assert stage.env_file.read_bytes() == after
    assert stage.env_file.stat().st_mode & 0o777 == 0o640
    for text in ("+SECRET_TOKEN_VERSION='v2'", "secret changed", "variables: PASSWORD",
                 f"opskit app deploy {APP}"):  # fmt: skip
        assert text in out
    assert "c4nary" not in out + err
    assert "not-to-be-touched" not in out + err
    state = [path for path in stage.root.rglob("*") if path.is_file() and path != stage.env_file]
    assert not any(b"c4nary" in path.read_bytes() for path in state if path.name != "my editor")


def test_what_the_recipe_does_not_know_is_counted_as_it_may_be_a_piece_of_a_value(
    stage: Stage, edit: Edit, capsys: Capture
) -> None:
    stage.env_file.write_bytes(stage.env_file.read_bytes() + b"\r\n")
    edit('printf "JBSWY3DPEHPK3PXP=\nDOMAIN=shop.example\n" >> "$1"')
    assert config() == 0

    told = capsys.readouterr().out.partition("@@")[2].partition("\n\n")
    assert "variables: DOMAIN, 1 unknown to the recipe" in "".join(told)
    journal = [path for path in state_dir().rglob("*") if path.is_file()]
    assert not any(b"JBSWY3DP" in path.read_bytes() for path in journal)


def test_the_copy_is_private_and_gone_afterwards(stage: Stage, edit: Edit, tmp_path: Path) -> None:
    edit(f'stat -c "%a %n" "$1" "$(dirname "$1")" > {tmp_path}/seen')
    assert config() == 0
    (file, path), (folder, _) = (
        line.split() for line in (tmp_path / "seen").read_text().splitlines()
    )
    assert (file, folder) == ("600", "700")
    assert not Path(path).parent.exists()


def test_leaving_the_editor_without_a_change_changes_nothing(
    stage: Stage, edit: Edit, capsys: Capture
) -> None:
    edit("true")
    assert config() == 0
    assert capsys.readouterr().out == "nothing was changed.\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('printf "\\nX=\'open\\n" >> "$1"', ":7: the quote"),
        ('sed -i s/TYPE=shop/TYPE=/ "$1"', "the file names no recipe"),
        (
            "printf '\\nCOMPOSE_FILE=compose.yml:gone.yml\\n' >> \"$1\"",
            ":7: COMPOSE_FILE names gone",
        ),
        ("exit 3", "ended with status 3; nothing was changed"),
    ],
)
def test_a_fault_is_named_by_file_and_line_and_nothing_is_written(
    stage: Stage, edit: Edit, capsys: Capture, script: str, message: str
) -> None:
    before = stage.env_file.read_bytes()
    edit(script)
    assert config() == 2
    err = capsys.readouterr().err
    assert message in err
    assert stage.env_file.read_bytes() == before


def test_a_missing_editor_is_named(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor")
    assert config() == 2
    assert "the editor no-such-editor is not installed" in capsys.readouterr().err


def test_what_a_colleague_saved_meanwhile_stays(stage: Stage) -> None:
    content = stage.env_file.read_bytes() + b"\nMORE=1\n"
    plan = opskit.Fleet.from_abra().plan_config(APP, content)
    stage.env_file.write_bytes(b"TYPE=shop\nTHEIRS=1\n")
    run = plan.apply()
    assert run.status == "rolled-back" or run.errors
    assert stage.env_file.read_bytes() == b"TYPE=shop\nTHEIRS=1\n"


def test_another_stack_name_is_told_apart_from_a_rename(stage: Stage) -> None:
    content = stage.env_file.read_bytes().replace(stage.stack.encode(), b"another")
    plan = opskit.Fleet.from_abra().plan_config(APP, content)
    assert plan.changes["note"][0] == (
        f"another stack, another: {stage.stack} would go on beside it"
    )
    assert plan.to_json().count("not-to-be-touched") == 0


def test_comments_alone_change_nothing_that_is_deployed(stage: Stage) -> None:
    content = b"# a remark\n" + stage.env_file.read_bytes()
    plan = opskit.Fleet.from_abra().plan_config(APP, content)
    assert list(plan.changes["note"]) == ["only comments: a redeploy changes nothing"]
    with pytest.raises(InputError, match="nothing was changed"):
        opskit.Fleet.from_abra().plan_config(APP, stage.env_file.read_bytes())


def test_it_is_committed_when_asked(
    stage: Stage, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ENVIRONMENT.items():
        if name.startswith("GIT_"):
            monkeypatch.setenv(name, value)

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=stage.env_file.parent, check=True, capture_output=True,
            text=True,
        ).stdout  # fmt: skip

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "as it was")
    edit('echo "# more" >> "$1"')
    assert config("--commit") == 0
    assert git("log", "-1", "--format=%s").startswith(f"{APP}: edit")
    assert git("status", "--porcelain") == ""


def test_a_text_whose_plan_is_declined_is_kept_until_it_is_applied(
    stage: Stage, edit: Edit, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    before = stage.env_file.read_bytes()
    edit("echo '# an hour of work' >> \"$1\"")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert run(["app", "config", APP]) == 1
    assert stage.env_file.read_bytes() == before
    (kept,) = kept_files()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert kept.read_bytes().endswith(b"# an hour of work\n")

    command = command_told(capsys.readouterr().err)
    edit("true")
    assert config() == 0
    assert str(kept) in capsys.readouterr().err
    assert run([*command, "--yes"]) == 0
    assert stage.env_file.read_bytes().endswith(b"# an hour of work\n")
    assert not kept_files()


def test_a_faulty_text_is_kept_when_it_is_not_edited_again(
    stage: Stage, edit: Edit, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    edit('printf "\\nX=\'open\\n" >> "$1"')
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert run(["app", "config", APP]) == 1
    command = command_told(capsys.readouterr().err)

    edit('sed -i "s/\'open/mended/" "$1"')
    assert run([*command, "--yes"]) == 0
    assert stage.env_file.read_bytes().endswith(b"\nX=mended\n")


def test_both_texts_stay_when_a_colleague_saved_meanwhile(
    stage: Stage, edit: Edit, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    edit(f"printf '\\nOURS=1\\n' >> \"$1\"; printf '\\nTHEIRS=1\\n' >> '{stage.env_file}'")
    assert config() == 1
    assert stage.env_file.read_bytes().endswith(b"THEIRS=1\n")
    (kept,) = kept_files()
    assert kept.read_bytes().endswith(b"OURS=1\n")
    assert str(kept) in command_told(capsys.readouterr().err)


def test_a_text_from_elsewhere_stays_there(stage: Stage, edit: Edit, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(stage.env_file.read_bytes() + b"\nMORE=1\n")
    edit("true")
    assert config("--from", str(theirs)) == 0
    assert stage.env_file.read_bytes() == theirs.read_bytes()
    assert config("--from", str(tmp_path / "gone")) == 2


def test_without_an_editor_or_a_terminal_a_sentence_says_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for name in ("VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert config() == 2
    assert "no editor is named" in capsys.readouterr().err
    assert not kept_files()


def test_an_edit_whose_old_text_nobody_kept_is_not_offered_to_be_undone(
    stage: Stage, edit: Edit, capsys: Capture
) -> None:
    edit("echo '# more' >> \"$1\"")
    assert config() == 0
    written = stage.env_file.read_bytes()
    done = opskit.Fleet.from_abra().journal().iloc[-1]["run"]

    assert run(["rollback", done, "--yes"]) == 2
    assert "nothing of run" in capsys.readouterr().err
    with pytest.raises(OpskitError, match=r"nothing was changed: .* is not kept by opskit"):
        opskit.Fleet.from_abra().rollback(done)
    assert stage.env_file.read_bytes() == written
    assert opskit.Fleet.from_abra().journal()["status"].tolist() == ["done"]
