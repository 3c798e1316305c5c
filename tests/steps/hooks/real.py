"""Real databases as swarm services: what Debian installed here, run in a bare container."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from opskit.demo.dockerd import IMAGE
from opskit.demo.fleet import write_contexts
from opskit.swarm.context import Context
from tests.stage import COMPOSE, ENV, SERVER, Stage
from tests.waiting import eventually

_HOST_FOLDERS = ("/usr", "/lib", "/lib64", "/etc/passwd", "/etc/group", "/etc/postgresql-common",
                 "/etc/alternatives", "/etc/ld.so.cache")  # fmt: skip
_PASSWORD = "/run/secrets/password"
_ROOT = "/run/secrets/root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A database: how it starts, with which environment, and how an app logs in."""

    program: str
    start: str
    login: str
    environment: tuple[str, ...] = ()
    refused_while_both: bool = True


POSTGRES = Kind(
    program="/usr/lib/postgresql/15/bin/postgres",
    environment=("POSTGRES_USER=shop", f"POSTGRES_PASSWORD_FILE={_PASSWORD}"),
    start=f"""
bin=/usr/lib/postgresql/15/bin
as_postgres() {{ setpriv --reuid postgres --regid postgres --clear-groups "$@"; }}
mkdir -p /var/run/postgresql && chown postgres /var/run/postgresql /data
if [ ! -e /data/pg ]; then
  as_postgres $bin/initdb -N -D /data/pg -U shop --pwfile={_PASSWORD} -E UTF8 --locale=C \\
    --auth-local=trust --auth-host=scram-sha-256
fi
as_postgres $bin/postgres -D /data/pg -c listen_addresses=127.0.0.1 -c fsync=off \\
  -c log_statement=all -c unix_socket_directories=/var/run/postgresql 2>>/data/log
""",
    login='PGPASSWORD=$p psql -X -w -h "$host" -U shop -d postgres -Atc "SELECT 1"',
)
MARIADB = Kind(
    program="mariadbd",
    environment=(
        "MARIADB_USER=shop",
        f"MARIADB_PASSWORD_FILE={_PASSWORD}",
        f"MARIADB_ROOT_PASSWORD_FILE={_ROOT}",
    ),
    start=f"""
hex() {{ od -An -v -tx1 "$1" | tr -d ' \\n'; }}
mkdir -p /run/mysqld /tmp && chown mysql /run/mysqld /data
if [ ! -e /data/my ]; then
  mariadb-install-db --no-defaults --user=mysql --datadir=/data/my --skip-test-db \\
    --auth-root-authentication-method=normal
  for who in 'root@localhost:{_ROOT}' "shop@'%':{_PASSWORD}" "shop@localhost:{_PASSWORD}"; do
    account=${{who%:*}}
    echo "SET @p = CONVERT(X'$(hex "${{who##*:}}")' USING utf8mb4);"
    echo "CREATE USER IF NOT EXISTS $account;"
    echo "SET @c = CONCAT(\\"ALTER USER $account IDENTIFIED BY \\", QUOTE(@p));"
    echo 'PREPARE s FROM @c;'
    echo 'EXECUTE s;'
  done > /data/init.sql
  chown mysql /data/init.sql
  first=--init-file=/data/init.sql
fi
mariadbd --no-defaults --user=mysql --datadir=/data/my --socket=/run/mysqld/mysqld.sock $first \\
  --character-set-server=utf8mb4 --innodb-flush-log-at-trx-commit=0 --bind-address=127.0.0.1 \\
  --general-log=1 --general-log-file=/data/log --log-bin=/data/binlog 2>>/data/err
""",
    login='export MYSQL_PWD=$p; mariadb --default-character-set=utf8mb4 -h "$host" -u shop -e ""',
)
REDIS = Kind(
    program="redis-server",
    start=f"""
umask 077
redis-server --requirepass "$(cat {_PASSWORD})" --dir /data --save '' --bind 127.0.0.1
""",
    login='REDISCLI_AUTH=$p redis-cli -h "$host" PING 2>/dev/null | grep -q PONG',
    refused_while_both=False,
)
KINDS = {"postgres": POSTGRES, "mariadb": MARIADB, "redis": REDIS}


def is_installed(kind: Kind) -> bool:
    """Tell whether the server's program is here."""
    return shutil.which(kind.program, path="/usr/local/sbin:/usr/sbin:/usr/bin:/bin") is not None


@dataclass(slots=True)
class Shop(Stage):
    """An app that logs in to its database over the engine's network."""

    kind: Kind = field(default=REDIS)

    def set_up_database(self, kind: Kind, password: str) -> None:
        """Write the files, create the secrets, start both and wait until the app may log in."""
        self.kind = kind
        self.env_file.parent.mkdir(parents=True)
        self.env_file.write_bytes(ENV % self.stack.encode())
        recipe = self.root / "abra" / "recipes" / "shop"
        recipe.mkdir(parents=True)
        (recipe / "compose.yml").write_text(COMPOSE)
        write_contexts(self.root / "docker", {SERVER: self.host})
        for name, value in (("token", password), ("key", "the root's own")):
            self.engine.create_secret(f"{self.stack}_{name}_v1", value.encode(), {})
        self.run("db", f"set -e; {kind.start}", list(kind.environment))
        self.run("app", "exec sleep 100000", [])
        self.wait_until_converged()
        self.wait_until_the_app_logs_in()

    def run(self, service: str, script: str, environment: list[str]) -> None:
        """Create one of the services."""
        ids = {s.spec.name: s.id for s in self.engine.secrets()}
        mounts: list[dict[str, Any]] = [
            {"Type": "bind", "Source": path, "Target": path, "ReadOnly": True}
            for path in _HOST_FOLDERS
            if Path(path).exists()
        ]
        mounts.append({"Type": "volume", "Source": f"{self.stack}_{service}", "Target": "/data"})
        container = {
            "Image": IMAGE,
            "Command": ["sh", "-c", script],
            "Env": environment,
            "StopGracePeriod": 0,
            "Init": True,
            "Mounts": mounts,
            "Secrets": [
                {
                    "SecretID": ids[f"{self.stack}_{name}_v1"],
                    "SecretName": f"{self.stack}_{name}_v1",
                    "File": {"Name": file, "UID": "0", "GID": "0", "Mode": 0o444},
                }
                for name, file in (("token", "password"), ("key", "root"))
            ],
        }
        spec = {
            "Name": f"{self.stack}_{service}",
            "Labels": {"com.docker.stack.namespace": self.stack},
            "TaskTemplate": {
                "ContainerSpec": container,
                "RestartPolicy": {"Condition": "any", "Delay": 200_000_000},
                # The engine's own network: containers come and go faster than in an overlay.
                "Networks": [{"Target": "host"}],
            },
            "Mode": {"Replicated": {"Replicas": 1}},
            "UpdateConfig": {"Parallelism": 1, "Monitor": 300_000_000},
        }
        self.post("/services/create", spec)

    def inside(self, service: str, script: str, stdin: bytes = b"") -> tuple[int, bytes]:
        """Run a script in a service's container."""
        found = self.engine.raw_service(f"{self.stack}_{service}").service
        containers = self.engine.containers(found.id)
        if not containers:
            return -1, b""
        ended = self.engine.execute(containers[0].id, ["sh", "-c", script], stdin)
        return ended.code, ended.stdout + ended.stderr

    def logs_in(self, password: str | None = None) -> bool:
        """Tell whether the app may log in, with a password or with what is in its file."""
        read = f"p=$(cat {_PASSWORD})" if password is None else "IFS= read -r p"
        stdin = b"" if password is None else password.encode() + b"\n"
        return self.inside("app", f"{read}; host=127.0.0.1; {self.kind.login}", stdin)[0] == 0

    def wait_until_the_app_logs_in(self) -> None:
        """Wait until the app may log in with what is in its file."""
        eventually(self.logs_in, "the app to log in to its database")

    def logs(self) -> bytes:
        """Give everything that the database wrote down."""
        return self.inside("db", "cat /data/log /data/err /data/binlog* 2>/dev/null")[1]

    def clean_up(self) -> None:
        """Remove the volumes too, once the tasks are gone."""
        self.clean()
        for service in ("db", "app"):
            name = f"{self.stack}_{service}"
            eventually(partial(self.remove_volume, name), f"volume {name} to be free")

    def remove_volume(self, name: str) -> bool:
        """Remove a volume, and tell whether it is not there any more."""
        path = f"/volumes/{name}"
        context = Context(server=SERVER, host=self.host)
        reply = self.transport.request(context, "DELETE", path, deadline=self.deadline())
        return reply.status in (204, 404)
