"""What an operator types for each kind of operation."""

from __future__ import annotations

from tests.chaos.story import Operation
from tests.chaos.world import CLONED, SERVERS, World

_PACE = ("--timeout", "40", "--stable", "2")


def typed(world: World, one: Operation, undone: str) -> tuple[list[str], dict[str, str]]:
    """Return an operation's arguments, and what its environment has besides.

    `undone` is the run that a rollback is about.
    """
    app, recipe = one.app.name, one.app.recipe
    commit = ["--commit"] if one.app.server in CLONED else []
    apart = [recipe.apart[one.choice % len(recipe.apart)]] if recipe.apart else [*recipe.keys]
    every = [*recipe.apart] or [*recipe.keys]
    made = ["--command", world.generator(one.number)] if one.choice % 3 else []
    changing = [*_PACE, *commit, "--yes"]
    bad = one.verb == "insert-bad"
    match one.verb:
        case "rotate":
            return ["secret", "rotate", app, *apart, *made, *changing], {}
        case "rotate-all":
            return ["secret", "rotate", app, *every, *made, *changing], {}
        case "rotate-stack":
            return ["secret", "rotate", app, *apart, "--deploy", "stack", *changing], {}
        case "rotate-where":
            where = f"recipe == '{recipe.name}' and secret == '{every[0]}'"
            servers = [f"--server={s}" for s in SERVERS if s not in CLONED]
            return ["rotate", "--where", where, *servers, "--skip", *_PACE, "--yes"], {}
        case "insert" | "insert-bad":
            file = str(world.value(one.number, bad=bad))
            return ["secret", "insert", app, apart[0], "--file", file, *changing], {}
        case "generate":
            return ["secret", "generate", app, "--all", *made, "--yes"], {}
        case "remove":
            return ["secret", "remove", app, "--all", "--yes"], {}
        case "prune":
            return ["secret", "prune", app, "--keep", str(one.keep), "--yes"], {}
        case "prune-all":
            return ["secret", "prune", "--keep", str(max(one.keep, 1)), "--yes"], {}
        case "deploy":
            return ["app", "deploy", app, *changing], {}
        case "deploy-version":
            return ["app", "deploy", app, one.release, *changing], {}
        case "upgrade":
            return ["app", "upgrade", app, *changing], {}
        case "restart":
            return ["app", "restart", app, *_PACE, "--yes"], {}
        case "undeploy":
            return ["app", "undeploy", app, *_PACE[:2], "--yes"], {}
        case "config":
            return ["app", "config", app, *commit, "--yes"], {"EDITOR": world.editor(one.number)}
        case "rollback":
            return ["rollback", undone, "--yes"], {}
