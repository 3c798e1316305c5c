"""Real PostgreSQL, MariaDB and Redis in a real swarm, told their passwords by hooks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest

import opskit
from opskit.demo.dockerd import DockerdFleet
from opskit.kinds.hooks import parse_hook
from opskit.secrets.value import Secret
from opskit.steps import Probe, Verify
from opskit.steps.hook import container_command
from opskit.swarm.transport import TRANSPORT, Transport
from tests.stage import APP, QUICK, SERVER
from tests.steps.hooks.real import KINDS, Shop, is_installed

pytestmark = [pytest.mark.swarm, pytest.mark.slow]

OLD = "o'ld \"pa\\ss $HOME ñ"
NEW = "ne'w; -- \"`id` \\' %s $(id) 密码 "
NASTY = [
    "'",
    "\\",
    "-n a\"b'c\\'d\\\\ ; -- #e $HOME $(id) `id` %s * > ",
    "ñ密🙂",
    "x" * 300,
]


@pytest.fixture(scope="module", params=KINDS)
def shop(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    real_fleet: DockerdFleet,
) -> Iterator[Shop]:
    """An app and its database, for the tests in the order they stand here."""
    kind = KINDS[request.param]
    if not is_installed(kind):
        pytest.skip(f"{kind.program} is not installed")
    transport = Transport()
    made = Shop(tmp_path_factory.mktemp("shop"), real_fleet.host("srv1"), transport)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.env.items():
            patch.setenv(name, value)
        try:
            made.set_up_database(kind, OLD)
            yield made
        finally:
            made.clean_up()
            transport.close()
            TRANSPORT.close()


def kind_of(shop: Shop) -> str:
    return next(name for name, kind in KINDS.items() if kind is shop.kind)


@pytest.mark.nightly
def test_any_line_can_be_set_and_taken_back_again_and_again(shop: Shop) -> None:
    hook = parse_hook(kind_of(shop))
    found = shop.engine.raw_service(f"{shop.stack}_db").service
    (container,) = shop.engine.containers(found.id)

    def run(action: str, value: str = "") -> None:
        argv = container_command(hook, action, "/run/secrets/password")
        ended = shop.engine.execute(container.id, argv, value.encode() + b"\n")
        assert ended.code == 0, (value, ended.stderr)

    for value in NASTY:
        run("set", value)
        assert shop.logs_in(value), value
    assert shop.logs_in(OLD) is not shop.kind.refused_while_both
    run("restore")
    assert shop.logs_in(OLD)
    assert not shop.logs_in(NASTY[-1])
    logs = shop.logs()
    assert NASTY[-1].encode() not in logs
    assert NASTY[-1].encode().hex() not in logs.decode(errors="replace").lower()


@pytest.mark.parametrize("action", ["set", "restore"])
def test_no_program_has_the_password_among_its_arguments(shop: Shop, action: str) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    found = shop.engine.raw_service(f"{shop.stack}_db").service
    (container,) = shop.engine.containers(found.id)
    argv = container_command(parse_hook(kind_of(shop)), action, "/run/secrets/password")
    traced = ("strace", "-f", "-xx", "-s", "99999", "-e", "trace=execve", *argv)
    value = OLD if action == "restore" else NEW
    ended = shop.engine.execute(container.id, traced, NEW.encode() + b"\n")

    assert ended.code == 0, ended.stderr
    # Each argument comes as \x6f\x6c\x64, whatever its characters.
    calls = [
        bytes.fromhex(line.replace("\\x", ""))
        for line in re.findall(r'"((?:\\x[0-9a-f]{2})+)"', ended.stderr.decode())
    ]
    assert len(calls) > len(argv), "a program was run besides the script's shell"
    for form in (value.encode(), value.encode().hex().encode()):
        assert not any(form in argument for argument in calls)


def hurried(plan: opskit.Plan) -> opskit.Plan:
    """Let a plan ask its probe for 12 s only, and take its time on the way back all the same."""
    (unit,) = plan.data.units
    steps = tuple(
        msgspec.structs.replace(step, timeout=12, planned=12) if isinstance(step, Verify) else step
        for step in unit.steps
    )
    units = (msgspec.structs.replace(unit, steps=steps),)
    return replace(plan, data=msgspec.structs.replace(plan.data, units=units))


def test_the_app_logs_in_with_the_new_password_and_nobody_with_the_old(shop: Shop) -> None:
    fleet = opskit.Fleet.from_abra()
    hooked = replace(QUICK, hook=f"{kind_of(shop)}:db", stable=0)

    # A forced failure brings the old password back, over restarts of the database.
    doomed = replace(hooked, probe=Probe(kind="command", target=("false",)))
    failed = hurried(fleet.plan_rotate([(SERVER, APP, "token")], doomed)).apply()
    assert failed.status == "rolled-back", failed.errors
    shop.wait_until_the_app_logs_in()
    assert shop.logs_in(OLD)

    given = fleet.plan_insert(APP, "token", Secret(NEW), options=hooked).apply()
    assert given.status == "done", given.errors
    shop.wait_until_the_app_logs_in()
    assert shop.logs_in(NEW)
    assert not shop.logs_in(OLD)
    assert NEW.encode() not in shop.logs()
