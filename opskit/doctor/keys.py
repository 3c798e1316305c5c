"""The keys ssh would log in with, and what to do when a server takes none of them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from opskit.doctor.programs import said_by
from opskit.doctor.rows import CheckupRow, note, well
from opskit.swarm.context import Context, ssh_target
from opskit.swarm.sockets import kept_folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """The ssh agent: whether one answers, and how many keys it holds."""

    answers: bool
    held: int

    @classmethod
    def ask(cls, seconds: float) -> Agent:
        """Ask the agent that ``SSH_AUTH_SOCK`` names."""
        status, text = said_by(("ssh-add", "-l"), seconds)
        # 1: it holds none.
        return cls(answers=status in (0, 1), held=len(text.splitlines()) if status == 0 else 0)

    def __str__(self) -> str:
        if not self.answers:
            return "no agent"
        return f"the agent holds {self.held} key{'' if self.held == 1 else 's'}"


def ssh(seconds: float, *, keeps: bool) -> CheckupRow:
    """Look for the ssh program, its agent and, if it `keeps` connections, for a place for those.

    Whether a key is the right one, its server says.
    """
    if which("ssh") is None:
        return note(
            "ssh",
            "not installed here; servers behind ssh:// need it.",
            "Install it: sudo apt-get install openssh-client",
        )
    _, text = said_by(("ssh", "-V"), seconds)
    found = f"{text.partition(',')[0]}, {Agent.ask(seconds)}"
    kept, fault = kept_folder()
    if keeps and kept is None:
        return note(
            "ssh",
            f"{found}; no connection stays for the next command: {fault}.",
            "Have XDG_RUNTIME_DIR name a folder of yours alone; or keep none: ssh_keep = 0 in "
            "opskit's settings.",
        )
    return well("ssh", found)


def after_refusal(context: Context, seconds: float) -> str:
    """Return what to do next when a server took none of the keys that ssh has for it."""
    address = context.address
    agent = Agent.ask(seconds)
    files = _identities(context, seconds)
    port = ["-p", str(address.port)] if address.port else []
    user = f"{address.user}@" if address.user else ""
    copy = shlex.join(["ssh-copy-id", *port, f"{user}{address.host}"])
    if not files and not agent.held:
        return f"There is no key here. Make one, and let the server know it: ssh-keygen && {copy}"
    for file in files:
        status, said = said_by(("ssh-keygen", "-y", "-P", "", "-f", str(file)), seconds)
        if "bad permissions" in said:
            return (
                "ssh passes over a key that others may read. Keep it to yourself: "
                f"chmod 600 {shlex.quote(str(file))}"
            )
        if status and not agent.held:
            begin = "" if agent.answers else 'eval "$(ssh-agent)" && '
            return f"Its key has a passphrase. Unlock it: {begin}ssh-add {shlex.quote(str(file))}"
    return (
        "It does not know your key, or you have another name there. Let somebody who may log in "
        f"add it, or yourself, with a password: {copy}"
    )


def _identities(context: Context, seconds: float) -> list[Path]:
    """Return the key files that ssh would try, of those that are there."""
    _, text = said_by(("ssh", "-G", *ssh_target(context)), seconds)
    lines = (line.partition(" ") for line in text.splitlines())
    named = (Path(value).expanduser() for key, _, value in lines if key == "identityfile")
    return [path for path in named if path.is_file()]
