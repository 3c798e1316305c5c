"""What a notebook gets from `opskit.forms`."""

from __future__ import annotations

import subprocess
import sys

WITHOUT = "import sys; sys.modules['anywidget'] = None; import opskit; opskit.forms"


def test_without_widgets_they_name_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False
    )
    assert done.stderr.endswith("not installed: pip install 'opskit[lab]'\n")
