"""``python -m tests.fuzz [TARGET…]``: fuzz each target in a process of its own, and tell what came.

``--input FILE`` reads one found input again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.campaign import Campaign, play
from tests.fuzz.held import INPUT, hold
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
_RESULT = "result.json"


def main() -> int:
    """Fuzz as asked, and return 1 when something did not hold."""
    asked = _asked()
    targets = asked.targets or list(TARGETS)
    if asked.folder:
        found = play(targets[0], asked.folder, seconds=asked.minutes * 60, most=asked.most,
                     begin=asked.seed)  # fmt: skip
        (asked.folder / _RESULT).write_text(json.dumps(asdict(found)))
        return 0
    if asked.input:
        with tempfile.TemporaryDirectory() as folder:
            hold(TARGETS[targets[0]], asked.input.read_bytes(), Path(folder))
        return 0
    print(f"seed {asked.seed}", flush=True)
    held = True
    for name in targets:
        found, kept = fuzz(name, seconds=asked.minutes * 60, most=asked.most, begin=asked.seed)
        print(f"{name}: {found.executions:,} inputs, {found.refused:,} of them refused", flush=True)
        if found.fault:
            held = False
            print(f"{name} did not hold: {kept}\n{found.fault}", flush=True)
    return 0 if held else 1


def fuzz(name: str, *, seconds: float, most: int, begin: int) -> tuple[Campaign, Path | None]:
    """Fuzz one target in a process of its own, and return what came and the input that failed."""
    with tempfile.TemporaryDirectory(prefix="opskit-fuzz-") as folder:
        command = [sys.executable, "-m", "tests.fuzz", name, "--folder", folder]
        command += ["--most", str(most), "--minutes", str(seconds / 60), "--seed", str(begin)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace",
                               check=False)  # fmt: skip
        told = Path(folder, _RESULT)
        if told.exists():
            found = Campaign(**json.loads(told.read_text()))
        else:
            found = Campaign(fault=f"it ended with {ended.returncode}: {ended.stderr[-5000:]}")
        if not found.fault:
            return found, None
        kept = Path(tempfile.gettempdir(), f"fuzz-{name}-{begin}-{os.getpid()}")
        kept.write_bytes(Path(folder, INPUT).read_bytes())
        return found, kept


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target")
    parser.add_argument("--most", type=int, default=2**40, help="inputs for each target")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--input", type=Path, help="a file to read instead")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if unknown := [name for name in asked.targets if name not in TARGETS]:
        parser.error(f"there is no target {', '.join(unknown)}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
