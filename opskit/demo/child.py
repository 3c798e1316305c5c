"""The process behind a demo fleet: ``python -m opskit.demo.child ROOT MANY SECRETS LATENCY_MS``."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import sys
from pathlib import Path

from opskit.demo.engine.serve import serve_until_orphaned
from opskit.demo.fleet import write_contexts, write_sample
from opskit.demo.swarms import many_swarms, sample_swarms


def main(root: Path, many: int, secrets: int, latency_ms: float) -> None:
    """Serve a fleet from `root` until the parent is gone, then remove `root`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Every demo fleet has the same ids, so that tables and screenshots can be compared.
    random.seed(0)
    try:
        if many:
            (root / "s").mkdir()
            swarms = many_swarms(root / "abra", many, secrets)
            hosts = {name: f"unix://{root / 's' / name.partition('.')[0]}" for name in swarms}
            write_contexts(root / "docker", hosts)
        else:
            hosts = write_sample(root)
            swarms = sample_swarms()
        sockets = {
            Path(hosts[name].removeprefix("unix://")): swarm for name, swarm in swarms.items()
        }
        asyncio.run(serve_until_orphaned(sockets, latency=latency_ms / 1000))
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
