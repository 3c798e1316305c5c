"""A notebook to begin a runbook with: the house's structure, and steps that run on the demo."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

from opskit.errors import InputError

_CELLS = (
    ("markdown", '''\
# {title}

**Purpose.** One sentence: what is better when this is done.

**Who and when.** Who does it, who reads along, on what occasion.

**What will happen.** What changes, what restarts, what it cannot take back. With `apply = False` \
it is a dry run: you see the plan, nothing is changed and nobody is asked. Read it, set \
`apply = True` in the parameters and run everything again: it stops below the plan. **Apply this \
plan** carries exactly this plan out, once, and shows how far it is and how it ended. Then run the \
cells from there on: what is done is never applied again. Where nobody can click, `approved` names \
the plan that was read.

**Prerequisites.** On your own servers (`demo = False`): abra's folder and one Docker context per \
server. What else must be there: access, a second person, a quiet hour.'''),
    ("parameters", '''\
demo = True  # False: your own servers
app = "notes.coop.example"
name = "session"  # of the secret
apply = False  # True: asks below each plan; False: a dry run
approved = []  # no browser: plans read, as ["05e838050b7a"]
who = ""  # your name, for the journal and your lock
stable = 5.0  # seconds that services must stay well'''),
    ("markdown", "## 1 · Look"),
    ("code", '''\
import opskit

if demo:
    import opskit.demo

    opskit.demo.start()
rb = opskit.Runbook({quoted}, who=who, dry_run=not apply, approved=approved)
fleet = opskit.Fleet.from_abra()
with rb.step("Look at every server", repeat=True):
    snap = fleet.snapshot()
rb'''),
    ("code", "snap.uses_of(app, name)"),
    ("markdown", '''\
## 2 · Plan

What to look for in the plan, and when not to go on.'''),
    ("code", '''\
options = opskit.Options(stable=stable)
plan = fleet.plan_rotate(app, name, options)
plan'''),
    ("markdown", '''\
## 3 · Apply

What people notice meanwhile, and for how long.'''),
    ("code", 'rb.apply(plan, "Apply the plan")'),
    ("markdown", '''\
## Verify

How you know that it worked: what opskit sees, and what a person who uses the app sees.'''),
    ("code", '''\
after = fleet.snapshot()
lacking = after.services.query("app == @app and running < desired")
with rb.step("Verify", repeat=True, after="Apply the plan"):
    rb.check("Every service of the app runs", lacking.empty)
after.uses_of(app, name)'''),
    ("markdown", '''\
## Undo

`fleet.rollback("RUN")` puts services, `.env` and swarm back; run ids are in \
`fleet.journal()`. A run that was cut off is finished by `fleet.resume()`. What cannot be taken \
back, and what to do then.'''),
    ("markdown", '''\
## Record

Who did what and how it ended; never a secret's value.'''),
    ("code", "rb.sign_off()"),
    ("code", "rb.finish(report={report})"),
    ("code", "rb.timeline()"),
)  # fmt: skip


def write_skeleton(path: Path, title: str = "") -> Path:
    """Write a new runbook.

    Parameters
    ----------
    path
        Its path; ``.ipynb`` may be left out.
    title
        Else made of the path's name.

    Raises
    ------
    InputError
        There is a file already, or the folder cannot be written to.
    """
    if path.name.strip(".") == "":
        raise InputError(f"{str(path)!r} is no name for a notebook.", remedy="Name it: my-runbook")
    path = path.with_name(f"{path.name.removesuffix('.ipynb')}.ipynb")
    notebook = skeleton(title or path.stem.replace("-", " ").replace("_", " ").capitalize(), path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    except FileExistsError:
        raise InputError(
            "exists already and is left as it is.", path=path, remedy="Choose another name."
        ) from None
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror}).", path=path, remedy="Check its folder."
        ) from None
    return path


def skeleton(title: str, path: Path) -> dict[str, Any]:
    """Return a new runbook as a notebook."""
    title = " ".join(title.split())
    words = {
        "title": title,
        "quoted": json.dumps(title, ensure_ascii=False),
        "report": json.dumps(f"runs/{path.stem}.html", ensure_ascii=False),
    }
    return {
        "cells": [_cell(kind, text, words) for kind, text in _CELLS],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(kind: str, text: str, words: dict[str, str]) -> dict[str, Any]:
    # At once: a title may look like a place for another word.
    text = re.sub(r"\{(\w+)\}", lambda found: words.get(found[1], found[0]), text)
    cell: dict[str, Any] = {
        "cell_type": "markdown" if kind == "markdown" else "code",
        "id": uuid.uuid4().hex[:8],
        "metadata": {"tags": ["parameters"]} if kind == "parameters" else {},
        "source": text.splitlines(keepends=True),
    }
    return cell if kind == "markdown" else cell | {"execution_count": None, "outputs": []}
