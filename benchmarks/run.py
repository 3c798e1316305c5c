"""Run every benchmark, one after another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("*.py")):
    if path.name not in ("run.py", "peers.py", "others.py"):
        print(f"\n== {path.name}", flush=True)
        subprocess.run([sys.executable, str(path)], check=True)
