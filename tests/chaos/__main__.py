"""``python -m tests.chaos``: play a campaign in namespaces of its own, and tell how it went.

Its mounts, processes, addresses and /tmp are nobody else's, and end with it, however it ends.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from opskit.demo.dockerd import why_not
from tests.chaos.heal import Healer
from tests.chaos.judge import Judge
from tests.chaos.play import Campaign
from tests.chaos.recipes import RECIPES
from tests.chaos.story import Story
from tests.chaos.world import APPS, CANARY, App, World

_PR_SET_PDEATHSIG = 1
_LOGIN = (".bashrc", ".zshenv", ".ssh/rc")
_INSIDE = "OPSKIT_CHAOS_INSIDE"
_UNSHARE = (
    "unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc",
    "--propagation", "private",
)  # fmt: skip


def main() -> int:
    """Play as long as asked, and return 1 when something did not hold."""
    asked = _asked()
    if reason := why_not(ssh=True):
        print(f"a campaign needs real engines: {reason}", file=sys.stderr)
        return 2
    if not os.environ.get(_INSIDE):
        again = [*_UNSHARE, sys.executable, "-m", "tests.chaos", *sys.argv[1:]]
        again += ["--seed", str(asked.seed)]
        inside = {**os.environ, _INSIDE: "yes"}
        return subprocess.run(again, env=inside, check=False, preexec_fn=_die_along).returncode
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/tmp"], check=True)
    for name in _LOGIN:
        # What this machine's user runs at each login takes its time, and writes to their home.
        path = Path(pwd.getpwuid(os.getuid()).pw_dir, name)
        if path.exists():
            subprocess.run(["mount", "--bind", "/dev/null", path], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ["TMPDIR"] = "/tmp"
    world = World()
    try:
        world.start()
        return _play(world, asked)
    finally:
        world.stop()


def _die_along() -> None:
    """Let the kernel kill this process, and with it the namespaces, when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="begin no round after so many")
    parser.add_argument("--rounds", type=int, default=0, help="play so many, however long it takes")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20))
    parser.add_argument("--terminals", type=int, default=7, help="of each operator")
    parser.add_argument("--operations", type=int, default=6, help="of each terminal in a round")
    parser.add_argument("--faults", type=int, default=20, help="in each round, beside processes'")
    parser.add_argument("--keep", type=Path, help="copy all outputs and journals there")
    asked = parser.parse_args()
    if asked.keep and asked.keep.resolve().is_relative_to("/tmp"):
        parser.error("a campaign's /tmp is its own: keep things elsewhere")
    return asked


def _play(world: World, asked: argparse.Namespace) -> int:
    began = time.monotonic()
    print(f"seed {asked.seed}", flush=True)
    if not world.can_shift_clocks:
        print("clocks are left alone: no C compiler (cc) is installed", flush=True)
    campaign = Campaign(world)
    _begin(campaign)
    story = Story(
        asked.seed, terminals=asked.terminals, operations=asked.operations, faults=asked.faults
    )
    healer, judge = Healer(campaign, asked.seed), Judge(campaign)
    print(f"ready after {time.monotonic() - began:.0f} s", flush=True)
    try:
        _rounds(campaign, story, healer, judge, asked)
    finally:
        # Above all when it did not come to its end.
        if asked.keep:
            _keep(world, asked.keep)
    judge.check_values()
    _report(campaign, asked.seed, time.monotonic() - began)
    return 1 if campaign.tally.violations else 0


def _rounds(
    campaign: Campaign, story: Story, healer: Healer, judge: Judge, asked: argparse.Namespace
) -> None:
    played, number = time.monotonic(), 0
    while number < asked.rounds or (
        not asked.rounds and time.monotonic() - played < 60 * asked.minutes
    ):
        number += 1
        start = time.monotonic()
        campaign.play(story.draw(shifts_clocks=campaign.world.can_shift_clocks))
        over = time.monotonic()
        healer.heal(start)
        healed = time.monotonic()
        judge.check(number)
        print(
            f"round {number}: {campaign.tally.operations.total()} operations and "
            f"{_struck(campaign).total()} faults so far; {over - start:.0f} s, healed in "
            f"{healed - over:.0f} s, checked in {time.monotonic() - healed:.0f} s",
            flush=True,
        )


def _begin(campaign: Campaign) -> None:
    """Give every app its first secrets and deploy it."""
    operators = list(campaign.world.operators.values())

    def begin(app: App) -> None:
        for secret, variable in app.recipe.keys.values():
            name = f"{app.stack}_{secret}_{app.recipe.first[variable]}"
            value = f"{CANARY}first-{os.urandom(12).hex()}"
            command = ["docker", "-H", campaign.world.fleet.host(app.server), "secret", "create"]
            made = subprocess.run(
                [*command, name, "-"], input=value.encode(), capture_output=True, check=True
            )
            campaign.values.known[made.stdout.decode().strip()] = value.encode()
        # By one operator: clones are pulled by whoever is next.
        argv = ["app", "deploy", app.name, "--timeout", "120", "--stable", "0.2", "--yes"]
        ended = campaign.run(operators[0], argv, f"begin-{app.name}")
        assert ended.status == 0, ended.text

    with ThreadPoolExecutor(len(RECIPES)) as threads:
        list(threads.map(begin, APPS))


def _struck(campaign: Campaign) -> Counter[str]:
    return campaign.tally.strikes + Counter(map(str, campaign.faults.struck))


def _report(campaign: Campaign, seed: int, seconds: float) -> None:
    tally, faults = campaign.tally, _struck(campaign)
    print(f"\nseed {seed}, {seconds / 60:.1f} minutes")
    for title, counted in (
        ("operations", tally.operations),
        ("faults", faults),
        ("outcomes", tally.outcomes),
    ):
        parts = ", ".join(f"{count} {name}" for name, count in counted.most_common())
        total = f"{counted.total()} " if title != "outcomes" else ""
        print(f"{total}{title}: {parts}")
    print(*(f"note: {one}" for one in tally.notes), sep="\n")
    print(f"{len(tally.violations)} violations", *tally.violations, sep="\n  ", flush=True)


def _keep(world: World, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for app in APPS:
        for operator in world.operators.values():
            kept = folder / f"{operator.name}-{app.name}.env"
            kept.write_bytes(operator.env_file(app).read_bytes())
    shutil.copytree(world.said, folder / "said", dirs_exist_ok=True)
    for operator in world.operators.values():
        shutil.copytree(
            operator.state.path,
            folder / operator.name,
            ignore=shutil.ignore_patterns("ssh"),
            dirs_exist_ok=True,
        )


if __name__ == "__main__":
    sys.exit(main())
