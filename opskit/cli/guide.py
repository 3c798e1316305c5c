"""What ``--help`` says beyond each command's own words: where it belongs, and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import typer

LOOK, CHANGE, RECOVER, NOTEBOOKS, DEMO = "Look", "Change", "Recover", "Notebooks", "Demo"


@dataclass(frozen=True, slots=True)
class Guide:
    """A command's group, which only those directly below ``opskit`` have, and its examples."""

    group: str
    examples: tuple[str, ...] = ()


def _look(*examples: str) -> Guide:
    return Guide(LOOK, examples)


def _change(*examples: str) -> Guide:
    return Guide(CHANGE, examples)


def _recover(*examples: str) -> Guide:
    return Guide(RECOVER, examples)


def _below(*examples: str) -> Guide:
    return Guide("", examples)


GUIDES: Mapping[str, Guide] = {
    "doctor": _look("opskit doctor", "opskit doctor --server coop.example"),
    "servers": _look("opskit servers", "opskit servers --where 'not manager'"),
    "apps": _look("opskit apps", "opskit apps --where \"recipe == 'wordpress'\""),
    "secrets": _look(
        "opskit secrets --where \"state != 'current'\"",
        "opskit secrets --server coop.example --where 'age_days > 180' --format csv",
    ),
    "services": _look("opskit services --where 'running < desired'"),
    "tasks": _look("opskit tasks --where \"state == 'failed'\""),
    "nodes": _look("opskit nodes --where \"state != 'ready'\""),
    "configs": _look("opskit configs --where 'not observed'"),
    "networks": _look("opskit networks --where \"driver == 'overlay' and not encrypted\""),
    "volumes": _look("opskit volumes --server coop.example"),
    "watch": _look(
        "opskit watch services --where 'running < desired'",
        "opskit watch secrets --server coop.example --columns secret,state",
    ),
    "drift": _look("opskit drift", "opskit drift --snapshot monday.opskit"),
    "audit": _look(
        "opskit audit", "opskit audit --server coop.example --where \"severity == 'high'\""
    ),
    "snapshot": _look("opskit snapshot monday.opskit"),
    "disconnect": _look("opskit disconnect", "opskit disconnect coop.example"),
    "acknowledge": _change("opskit acknowledge k3x9q --until 2027-03-31 --why 'moved in March'"),
    "fix": _change("opskit fix k3x9q --dry-run", "opskit fix k3x9q v7d2m"),
    "rotate": _change(
        "opskit rotate --where \"recipe == 'hedgedoc' and secret == 'session'\" --dry-run",
        "opskit rotate --where 'age_days > 365' --skip --max-parallel 4",
    ),
    "secret": _change(),
    "secret generate": _below(
        "opskit secret generate wiki.coop.example --all --pass",
        "opskit secret generate wiki.coop.example api_token --length 64 --dry-run",
    ),
    "secret insert": _below(
        "opskit secret insert wiki.coop.example smtp_password",
        "opskit secret insert wiki.coop.example smtp_password --file key.txt",
    ),
    "secret rotate": _below(
        "opskit secret rotate wiki.coop.example api_token --dry-run",
        "opskit secret rotate wiki.coop.example db_password --hook postgres",
    ),
    "secret remove": _below(
        "opskit secret remove wiki.coop.example old_token",
        "opskit secret remove --orphans --server coop.example --dry-run",
    ),
    "secret prune": _below(
        "opskit secret prune --dry-run", "opskit secret prune wiki.coop.example --keep 0"
    ),
    "app": _change(),
    "app ls": _below("opskit app ls -S", "opskit app ls -S --server coop.example"),
    "app new": _below(
        "opskit app new hedgedoc -s coop.example --domain pad.coop.example --secrets",
        "opskit app new hedgedoc:1.2.0 -s coop.example --domain pad.example --fetch",
    ),
    "app config": _below("opskit app config wiki.coop.example"),
    "app show": _below("opskit app show wiki.coop.example"),
    "app ps": _below("opskit app ps wiki.coop.example --past"),
    "app logs": _below("opskit app logs wiki.coop.example app --tail 50 --follow"),
    "app deploy": _below(
        "opskit app deploy wiki.coop.example --dry-run",
        "opskit app deploy wiki.coop.example 1.2.0+3.4.1",
    ),
    "app upgrade": _below("opskit app upgrade wiki.coop.example --dry-run"),
    "app undeploy": _below("opskit app undeploy wiki.coop.example"),
    "app restart": _below("opskit app restart wiki.coop.example app"),
    "journal": _recover("opskit journal", "opskit journal --where \"status != 'done'\""),
    "resume": _recover("opskit resume"),
    "rollback": _recover("opskit rollback --dry-run", "opskit rollback 20261129-0914"),
    "locks": _recover("opskit locks"),
    "break-lock": _recover("opskit break-lock coop.example wiki_coop_example"),
    "give-up": _recover("opskit give-up 20261129-0914"),
    "run": Guide(
        NOTEBOOKS, ("opskit run notebooks/11-scheduled-audit.ipynb -p demo=false -p fail_on=high",)
    ),
    "new-runbook": Guide(NOTEBOOKS, ("opskit new-runbook smtp-key --title 'Leaked SMTP key'",)),
    "runbooks": Guide(NOTEBOOKS, ("opskit runbooks --where \"status != 'finished'\"",)),
    "report": Guide(NOTEBOOKS, ("opskit report 7f3a incident.html",)),
    "lab": Guide(NOTEBOOKS, ("opskit lab", "opskit lab ~/runbooks --port 8890 --no-browser")),
    "demo": Guide(DEMO, ("opskit demo", "opskit demo -- opskit audit", "opskit lab --demo")),
}
"""By the words of the command."""


def add_guides(tree: typer.Typer, path: str = "") -> None:
    """Give the commands of a tree their groups and examples."""
    for command in tree.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "")
        guide = GUIDES.get(f"{path}{name}")
        if guide is not None:
            command.rich_help_panel = guide.group or None
            command.epilog = "\n".join(("Examples:", *guide.examples))
    for group in tree.registered_groups:
        guide = GUIDES.get(f"{path}{group.name}")
        if guide is not None:
            group.rich_help_panel = guide.group
        if group.typer_instance is not None:
            add_guides(group.typer_instance, f"{path}{group.name} ")
