"""The output guard in a real kernel."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest
from jupyter_client.manager import KernelManager

import opskit
from opskit.guard import load_ipython_extension, unload_ipython_extension
from tests.waiting import LIMIT

pytestmark = [pytest.mark.slow, pytest.mark.kernel]

CANARY = "c4nary-in-the-kernel"
SETUP = f"""
%load_ext opskit
import opskit, sys, base64
value = opskit.Secret(bytes.fromhex('{CANARY.encode().hex()}'))
plain = value.reveal().decode()
"""


@contextmanager
def a_kernel(**outputs: IO[bytes]) -> Iterator[Any]:
    with tempfile.TemporaryDirectory(dir="/tmp") as sockets:
        # Not on TCP: somebody else may take a port between its choice and the kernel's start.
        manager: Any = KernelManager(
            kernel_name="python3", transport="ipc", connection_file=f"{sockets}/kernel.json"
        )
        # As where it is used: under a test, ipykernel leaves the descriptors alone.
        manager.start_kernel(
            env={k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}, **outputs
        )
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=LIMIT)
        yield client
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    with a_kernel() as client:
        client.execute_interactive(SETUP, timeout=LIMIT, output_hook=lambda _: None)
        yield client


def shown(kernel: Any, code: str) -> str:
    """Give everything that any client sees of a cell, but the code itself."""
    seen: list[Any] = []
    reply = kernel.execute_interactive(
        code, timeout=LIMIT, output_hook=lambda message: seen.append(message["content"])
    )
    return repr([one for one in seen if "code" not in one]) + repr(reply["content"])


@pytest.mark.parametrize(
    "code",
    [
        "print(plain)",
        "print(plain, file=sys.stderr)",
        "sys.stdout.write(plain[:7]); sys.stdout.flush(); sys.stdout.write(plain[7:])",
        "plain",
        "[plain, {plain: 1}]",
        "import IPython; IPython.display.display(IPython.display.HTML(f'<b>{plain}</b>'))",
        "raise ValueError(plain)",
        "raise KeyError({plain: 2})",
        "print(base64.b64encode(b'xx' + plain.encode()))",
        "print(plain.encode().hex())",
        "!echo $plain",
        "import subprocess; subprocess.run(['echo', plain])",
        "import subprocess; subprocess.run(['echo', plain], stdout=sys.stderr)",
        "import os; os.write(1, plain.encode())",
        "import os; os.write(2, plain[:9].encode()); os.write(2, plain[9:].encode())",
        "import subprocess\n"
        "_ = subprocess.run(['sh', '-c', f'printf {plain[:9]}; printf %s {plain[9:]}'])",
        "import os; os.system(f'echo {plain}')",
        "import ctypes; ctypes.CDLL(None).puts(plain.encode()); ctypes.CDLL(None).fflush(None)",
        "import os\nif not (child := os.fork()): os.write(1, plain.encode()); os._exit(0)\n"
        "os.waitpid(child, 0)",
        "import logging; logging.warning(plain)",
    ],
)
def test_a_known_value_is_masked_wherever_a_cell_shows_it(kernel: Any, code: str) -> None:
    text = shown(kernel, code)
    assert CANARY not in text
    assert CANARY.encode().hex() not in text
    assert "redacted" in text


@pytest.mark.parametrize("number", range(5))
def test_what_programs_write_is_shown_in_the_cell_that_started_them(
    kernel: Any, number: int
) -> None:
    seen: list[str] = []
    kernel.execute_interactive(
        f"import subprocess; _ = subprocess.run(['echo', 'heard {number} \u00e4' * 1000])",
        timeout=LIMIT,
        output_hook=lambda message: seen.append(message["content"].get("text", "")),
    )
    assert "".join(seen) == f"heard {number} \u00e4" * 1000 + "\n"


def test_what_programs_write_goes_nowhere_else(tmp_path: Path) -> None:
    code = (
        "%load_ext opskit\nimport opskit, os, subprocess, sys\n"
        f"plain = bytes.fromhex('{CANARY.encode().hex()}').decode()\n"
        "value = opskit.Secret(plain)\n"
        "subprocess.run(['echo', plain]); os.write(2, plain.encode())\n"
        "subprocess.run(['echo', plain], stdout=sys.stdout)"
    )
    heard = tmp_path / "heard"
    with heard.open("wb") as log, a_kernel(stdout=log, stderr=log) as client:
        assert "redacted" in shown(client, code)
    assert CANARY not in heard.read_text()


def test_other_output_is_as_it_was(kernel: Any) -> None:
    assert "plain words" in shown(kernel, "print('plain words')")
    assert "'c'" in shown(kernel, "'c'")
    assert "c4na" in shown(kernel, "print('c4na', end='')")
    assert "ZeroDivisionError" in shown(kernel, "1/0")


def test_a_program_still_finds_its_streams_as_they_were(kernel: Any) -> None:
    answer = shown(kernel, "sys.stdout.encoding, sys.stdout.writable()")
    assert "('UTF-8', True)" in answer


def test_the_guard_is_reached_without_loading_it_first() -> None:
    code = "import opskit; opskit.guard.history_off; opskit.pictures"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_history_is_no_longer_written(kernel: Any) -> None:
    code = "import opskit.guard; opskit.guard.history_off(); get_ipython().history_manager.enabled"
    assert "'False'" in shown(kernel, code)


def test_it_can_be_taken_off(kernel: Any) -> None:
    shown(kernel, "%unload_ext opskit")
    assert "on again" in shown(kernel, "print('on again')")
    shown(kernel, "%load_ext opskit")


def test_an_error_of_opskit_is_its_message_and_not_opskits_source(kernel: Any) -> None:
    cell = "error = opskit.OpskitError('no such app. See: opskit apps')\n"
    cell += "error.add_note('Run it again for ' + plain)\nraise error"
    text = shown(kernel, cell)
    assert "OpskitError: no such app. See: opskit apps" in text
    assert "Run it again for " in text
    assert CANARY not in text
    assert "Traceback" not in text


class Shell:
    """As much of IPython's shell as is guarded."""

    def __init__(self) -> None:
        self.published: list[Any] = []
        self.display_pub = SimpleNamespace(publish=self.published.append)
        self.displayhook = SimpleNamespace(write_format_data=print)
        self.events = SimpleNamespace(register=print, unregister=print)
        self._showtraceback = print


def test_a_guard_goes_with_its_shell_and_each_shell_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    value = opskit.Secret(CANARY)
    for _ in range(3):
        # A new one may well get the place in memory, and so the id, of the one before.
        shell = Shell()
        load_ipython_extension(shell)
        load_ipython_extension(shell)
        shell.display_pub.publish({"text/plain": value.reveal().decode()})
        assert CANARY not in str(shell.published)
        gone = weakref.ref(shell)
        del shell
        gc.collect()
        assert gone() is None
    shell = Shell()
    load_ipython_extension(shell)
    unload_ipython_extension(shell)
    unload_ipython_extension(shell)
    shell.display_pub.publish(CANARY)
    assert shell.published == [CANARY]
