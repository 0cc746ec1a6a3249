"""The ways into a command: how a store is named, which Prefect server it runs on, how it ends where it cannot go on."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from sandbox.chaos import ChaosProxy
from sandbox.prefect_server import PrefectServer, prefect_server
from tests.flows.conftest import COMMANDS, Api, Command, Datashare, Here

DONE, FAILED, USAGE, REFUSED, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143
SECRET = "s3cr3t-pw"
BY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")


@pytest.fixture
def half(datashare: Datashare) -> Datashare:
    """Six downloads, three of which have lost their archives."""
    datashare.present(3)
    datashare.gone(3)
    return datashare


def one_line(done: CompletedProcess[str]) -> str:
    """Return the only line that was said, of which nothing is a traceback."""
    others = ("Run: http", "PREFECT_API_URL is not set: starting")
    lines = [line for line in done.stderr.splitlines() if not line.startswith(others)]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in lines[0]
    return lines[0]


# --------------------------------------------------------------------------------------------- how a store is named


class TestEnv:
    def test_env_names_a_store_and_no_secret_is_anywhere(
        self, half: Datashare, command: Command, login: Callable[..., str], api: Api, tmp_path: Path
    ) -> None:
        command.environment["DATASHARE_REDIS"] = login(SECRET, "+@all")
        log = tmp_path / "log"
        arguments = ("env:DATASHARE_REDIS", *half.arguments[1:])
        planned = command("steward", "hmap-clean", *arguments, "--log-file", log, "--log-level", "DEBUG", "--verbose")
        assert planned.returncode == DONE, planned.stderr
        (apply,) = [line.split() for line in planned.stdout.splitlines() if "steward apply" in line]
        assert apply[-1] == "env:DATASHARE_REDIS"
        applied = command(*apply)
        assert (applied.returncode, len(half.tasks)) == (DONE, 3)
        undone = command("steward", "undo", apply[2], "env:DATASHARE_REDIS", "--json")
        assert (undone.returncode, json.loads(undone.stdout)["applied"]) == (DONE, 3)
        shown = command("steward", "plan", "show", apply[2], "--json")
        said = "".join(done.stdout + done.stderr for done in (planned, applied, undone, shown))
        runs = api.post("flow_runs/filter", sort="START_TIME_DESC", limit=50)
        pages = api.post("artifacts/filter", sort="CREATED_DESC", limit=50)
        assert SECRET not in said + log.read_text() + json.dumps([runs, pages])

    def test_ps_shows_no_secret(self, half: Datashare, command: Command, login: Callable[..., str]) -> None:
        command.environment["DATASHARE_REDIS"] = login(SECRET, "+@all")
        run = command.start("hmap-cleaner", "env:DATASHARE_REDIS", *half.arguments[1:], "--dry-run")
        lines = Path(f"/proc/{run.pid}/cmdline").read_bytes()
        assert run.wait() == DONE
        assert SECRET.encode() not in lines

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (None, "REDIS: the variable STORE_URL is not set."),
            ("", "REDIS: the variable STORE_URL is empty."),
            (" ", "REDIS: the variable STORE_URL is empty."),
            (f"redis//:{SECRET}@x", "REDIS: what env:STORE_URL holds has not the form redis://"),
            ("env:OTHER", "REDIS: the variable STORE_URL holds the name of another one"),
        ],
    )
    @pytest.mark.parametrize("line", [("steward", "hmap-clean"), ("hmap-cleaner",), ("steward", "task-model-migrate")])
    def test_a_variable_that_holds_no_store_is_status_2_and_not_shown(
        self, here: Here, monkeypatch: pytest.MonkeyPatch, line: Sequence[str], value: str | None, said: str
    ) -> None:
        if value is not None:
            monkeypatch.setenv("STORE_URL", value)
        folder = [] if "task-model-migrate" in line else ["/tmp"]
        done = here(*line, "env:STORE_URL", *folder)
        assert done.returncode == USAGE
        assert one_line(done).startswith(said)
        assert SECRET not in done.stderr

    def test_env_without_a_name_is_said_to_name_none(self, here: Here) -> None:
        done = here("steward", "hmap-clean", "env:", "/tmp")
        assert (done.returncode, one_line(done)) == (USAGE, "REDIS: env: names no variable; it is env:NAME.")

    def test_a_folder_or_a_file_may_be_named_so_where_the_job_takes_one(
        self, here: Here, monkeypatch: pytest.MonkeyPatch, half: Datashare
    ) -> None:
        monkeypatch.setenv("RUNS", str(half.folder))
        done = here("steward", "undo", half.plan().plan, "env:RUNS")
        assert done.returncode == USAGE
        assert "The plan was made by hmap-clean, whose store is redis://" in done.stderr

    @pytest.mark.parametrize("job", ["hmap-clean", "task-model-migrate", "batch-search-migrate", "apply", "undo"])
    def test_help_says_so(self, here: Here, job: str) -> None:
        shown = " ".join(here("steward", job, "--help").stdout.translate({ord("│"): " "}).split())
        assert "block:TYPE/NAME, or env:NAME" in shown

    def test_a_config_file_takes_its_secrets_from_the_environment(self, tmp_path: Path) -> None:
        code = (
            "import pathlib, sys; from tasks.datajoint.config import read_config; "
            "print(read_config(pathlib.Path(sys.argv[1])).database_servers['lab'].password.get_secret_value())"
        )
        file = tmp_path / "datajoint-cleaner.toml"
        file.write_text(
            '[database_servers.lab]\nhost = "db"\nuser = "u"\npassword = "env:LAB_PASSWORD"\n'
            '[[cleaning_runs]]\ndatabase_server = "lab"\nschema = "s"\nstore = "x"\nkind = "file"\nlocation = "/srv"\n'
        )
        told = {**os.environ, "LAB_PASSWORD": SECRET}
        read = subprocess.run([sys.executable, "-c", code, file], env=told, capture_output=True, text=True, check=True)
        assert read.stdout == f"{SECRET}\n"
        del told["LAB_PASSWORD"]
        refused = subprocess.run([sys.executable, "-c", code, file], env=told, capture_output=True, text=True)
        assert "[database_servers.lab] password: the variable LAB_PASSWORD is not set" in refused.stderr
        told["LAB_PASSWORD"] = ""
        refused = subprocess.run([sys.executable, "-c", code, file], env=told, capture_output=True, text=True)
        assert "[database_servers.lab] password: the variable LAB_PASSWORD is empty" in refused.stderr


class TestBlock:
    def test_block_names_a_store_that_the_server_keeps(self, half: Datashare, here: Here) -> None:
        name = half.key.replace(":", "-")
        half.credentials.save(name)
        reference = f"block:redis-credentials/{name}"
        planned = here("steward", "hmap-clean", reference, *half.arguments[1:])
        (apply,) = [line.split() for line in planned.stdout.splitlines() if "steward apply" in line]
        assert apply[-1] == reference
        assert here(*apply).returncode == DONE
        assert len(half.tasks) == 3
        assert here("steward", "undo", apply[2], reference).returncode == DONE
        assert len(half.tasks) == 6

    def test_env_may_hold_a_block(self, half: Datashare, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
        name = half.key.replace(":", "-")
        half.credentials.save(name)
        monkeypatch.setenv("STORE_URL", f"block:redis-credentials/{name}")
        assert here("hmap-cleaner", "env:STORE_URL", *half.arguments[1:]).returncode == DONE
        assert len(half.tasks) == 3

    @pytest.mark.parametrize(
        ("reference", "said"),
        [
            ("block:redis-credentials/not-there", "There is no block redis-credentials/not-there"),
            ("block:database-credentials/x", "is not of the form block:redis-credentials/NAME."),
            ("block:redis-credentials", "is not of the form block:redis-credentials/NAME."),
            ("block:", "is not of the form block:redis-credentials/NAME."),
        ],
    )
    def test_one_that_is_not_there_is_status_2(self, here: Here, reference: str, said: str) -> None:
        done = here("steward", "hmap-clean", reference, "/tmp")
        assert done.returncode == USAGE
        assert said in one_line(done)

    def test_without_a_server_it_is_status_2(self, alone: Command) -> None:
        done = alone("steward", "hmap-clean", "block:redis-credentials/x", "/tmp")
        assert done.returncode == USAGE
        assert one_line(done).endswith("is kept on a Prefect server: set PREFECT_API_URL.")


# ---------------------------------------------------------------------------------------------- no terminal, no login


@pytest.mark.parametrize(
    "line",
    [
        ("steward", "hmap-clean", "redis://{}/0", "/tmp"),
        ("steward", "task-model-migrate", "redis://{}/0"),
        ("steward", "batch-search-migrate", "postgresql://{}/datashare"),
        ("db-migrate-bs-result-task", "mysql://{}/datashare"),
        ("dj-cleaner",),
        ("steward", "datajoint-clean", "--config-file", "/not/there.toml"),
        ("steward", "apply", "no-such-plan", "redis://{}/0"),
        ("steward", "undo", "no-such-plan", "redis://{}/0"),
        ("steward", "plan", "show", "no-such-plan"),
        ("steward", "hmap-clean"),
    ],
    ids=" ".join,
)
def test_n22_without_a_terminal_and_a_login_nothing_is_asked(
    command: Command, tmp_path: Path, line: Sequence[str]
) -> None:
    name, *arguments = (part.format("127.0.0.1:1") for part in line)
    done = subprocess.run(
        [COMMANDS / name, *arguments],
        env=command.environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )
    assert done.returncode in (FAILED, USAGE)
    assert "Traceback" not in done.stderr
    assert done.stderr
    assert not done.stdout


# --------------------------------------------------------------------------------- a Prefect server that is in the way


@dataclass
class StandIn:
    """A server that is none of Prefect's, or one that is ill; it remembers what it was asked."""

    url: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def standing_in(request: pytest.FixtureRequest) -> Iterator[StandIn]:
    """A server that answers everything with a status and a text."""
    status, text = request.param

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server names them
            stand_in.asked.append(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            self.do_GET()

        def do_CONNECT(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        stand_in = StandIn(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield stand_in
        server.shutdown()


@pytest.mark.parametrize(
    ("standing_in", "said"),
    [
        ((200, b"<html>a page</html>"), "is no Prefect server's API: correct PREFECT_API_URL, which ends in /api"),
        ((200, b"[]"), "is no Prefect server's API: correct PREFECT_API_URL, which ends in /api"),
        ((404, b"{}"), "with status 404, as no Prefect server does: correct PREFECT_API_URL, which ends in /api"),
        ((401, b"{}"), "does not let us in (status 401): check PREFECT_API_AUTH_STRING or PREFECT_API_KEY"),
        ((403, b"{}"), "does not let us in (status 403): check PREFECT_API_AUTH_STRING or PREFECT_API_KEY"),
        ((500, b"oh \x1b[2J"), "failed (status 500): read its log"),
    ],
    indirect=["standing_in"],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else None,
)
def test_r1_k4_a_server_that_is_no_prefect_server_is_one_sentence(
    half: Datashare, command: Command, standing_in: StandIn, said: str
) -> None:
    command.environment["PREFECT_API_URL"] = f"{standing_in.url}/api"
    done = command("steward", "hmap-clean", *half.arguments, "--apply")
    assert done.returncode == FAILED
    assert said in one_line(done)
    assert standing_in.url in done.stderr
    assert len(half.tasks) == 6


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A Prefect server that asks for a password, with its pages."""
    settings = {"PREFECT_SERVER_API_AUTH_STRING": f"admin:{SECRET}"}
    with prefect_server(tmp_path_factory.mktemp("locked"), ui=True, settings=settings) as server:
        yield server


@pytest.mark.parametrize("login", [None, "admin:wr0ng-one"])
def test_r1_a_server_that_asks_for_a_password_is_one_sentence(
    half: Datashare, command: Command, locked: PrefectServer, login: str | None
) -> None:
    command.environment.update(
        {"PREFECT_API_URL": locked.api_url} | ({"PREFECT_API_AUTH_STRING": login} if login else {})
    )
    done = command("steward", "hmap-clean", *half.arguments)
    assert done.returncode == FAILED
    assert one_line(done) == (
        f"Failed: {locked.api_url} answers but does not let us in (status 401): "
        "check PREFECT_API_AUTH_STRING or PREFECT_API_KEY, and the path, which ends in /api."
    )
    plans = command("steward", "plan", "show", "x", "--plans", "block:local-file-system/x")
    assert (plans.returncode, "does not let us in (status 401)" in one_line(plans)) == (FAILED, True)
    assert "wr0ng-one" not in done.stderr + plans.stderr


def test_r1_an_address_without_api_is_one_sentence_and_the_right_password_works(
    half: Datashare, command: Command, locked: PrefectServer
) -> None:
    command.environment.update({"PREFECT_API_URL": locked.url, "PREFECT_API_AUTH_STRING": f"admin:{SECRET}"})
    done = command("steward", "hmap-clean", *half.arguments)
    assert done.returncode == FAILED
    assert "correct PREFECT_API_URL, which ends in /api" in one_line(done)
    command.environment["PREFECT_API_URL"] = f"{locked.api_url}/"
    assert command("steward", "hmap-clean", *half.arguments).returncode == DONE


@pytest.mark.parametrize(
    ("variables", "status", "said"),
    [
        ({"PREFECT_API_URL": "foo"}, USAGE, "PREFECT_API_URL is no URL"),
        ({"PREFECT_API_URL": "ftp://127.0.0.1/api"}, USAGE, "PREFECT_API_URL is no URL"),
        ({"PREFECT_LOGGING_LEVEL": "LOUD"}, USAGE, "A setting of Prefect cannot be used, PREFECT_LOGGING_LEVEL: "),
        ({"PREFECT_SERVER_API_PORT": "x"}, USAGE, "A setting of Prefect cannot be used, PREFECT_SERVER_API_PORT: "),
    ],
)
def test_k4_a_setting_of_prefects_that_cannot_be_used_is_one_line(
    half: Datashare, command: Command, variables: dict[str, str], status: int, said: str
) -> None:
    command.environment.update(variables)
    done = command("steward", "hmap-clean", *half.arguments)
    assert done.returncode == status
    assert one_line(done).startswith(said)


def test_k4_a_broken_profile_is_one_line(half: Datashare, command: Command, tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text('active = "x\n[')
    command.environment["PREFECT_HOME"] = str(tmp_path)
    done = command("steward", "hmap-clean", *half.arguments)
    assert done.returncode == USAGE
    assert one_line(done).startswith("Prefect's settings cannot be read (profiles.toml, prefect.toml or .env): ")


# ------------------------------------------------------------------------------------------- what nobody foresaw


@pytest.fixture
def quiet(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """What a program runs with that imports Prefect before our command could make its log quiet."""
    own = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL", "XDG_STATE_HOME": str(tmp_path / "state")}
    return environment | own


def raising(exception: str, job: str = "hmap_clean", name: str = "make_judge") -> str:
    """Return a program that runs a command in which a function of a job raises something."""
    return (
        f"import sys\nfrom unittest.mock import Mock\nimport flows.{job} as job\nfrom flows import cli\n"
        f"job.{name} = Mock(side_effect={exception})\nsys.exit(cli.main())"
    )


@pytest.mark.parametrize("asked", [True, False])
def test_k4_what_nobody_foresaw_is_one_line_and_a_traceback_in_a_file(
    half: Datashare, quiet: dict[str, str], tmp_path: Path, asked: bool
) -> None:
    exception = f"AttributeError('odd \\x1b[2J\\nredis://me:{SECRET}@host')"
    log = ("--log-file", str(tmp_path / "log")) if asked else ()
    arguments = ["hmap-clean", *half.arguments, *log, "--apply"]
    done = subprocess.run(
        [sys.executable, "-c", raising(exception), *arguments], env=quiet, capture_output=True, text=True
    )
    assert done.returncode == FAILED
    told = one_line(done)
    assert told.startswith(r"Failed: AttributeError: odd \x1b[2J. Nobody foresaw this; its traceback is in ")
    file = Path(told.rpartition(" ")[2])
    assert file.parent == (tmp_path if asked else tmp_path / "state" / "steward")
    text = file.read_text()
    assert "Traceback (most recent call last)" in text
    assert "\x1b" not in text
    assert SECRET not in text + done.stderr
    assert len(half.tasks) == 6


@pytest.mark.parametrize("exception", ["StoreFailed('toy: KeyError: 1')", "Outer", "Stopped"])
def test_k4_what_a_client_raised_unexpectedly_has_its_traceback_in_a_file(
    half: Datashare, quiet: dict[str, str], exception: str
) -> None:
    chained = "Outer = ApplyStopped('stopped')\nOuter.__cause__ = StoreFailed('toy: KeyError: 1')\n"
    chained += "Stopped = ApplyStopped('stopped')\nStopped.__cause__ = KeyError('toy: KeyError: 1')\n"
    program = f"from tasks.changes.errors import *\n{chained}{raising(exception)}"
    done = subprocess.run(
        [sys.executable, "-c", program, "hmap-clean", *half.arguments], env=quiet, capture_output=True, text=True
    )
    assert done.returncode == FAILED
    assert "toy: KeyError: 1" in Path(one_line(done).rpartition(" ")[2]).read_text()


# ------------------------------------------------------------------------------- a server that is private to the run


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of these tests, so that the database of the private servers is made once."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def alone(environment: dict[str, str], state: Path, tmp_path: Path) -> Command:
    """Runs commands that are told of no server, with a home of their own."""
    told = {name: value for name, value in environment.items() if not name.startswith("PREFECT_")}
    (tmp_path / "home").mkdir()
    return Command({**told, "HOME": str(tmp_path / "home"), "XDG_STATE_HOME": str(state)})


@pytest.mark.parametrize("standing_in", [(500, b"")], indirect=True)
def test_k5_nothing_of_another_server_reaches_the_private_one(
    half: Datashare, alone: Command, standing_in: StandIn, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "prefect.db").write_bytes(b"their database")
    (theirs / "profiles.toml").write_text(
        'active = "theirs"\n[profiles.theirs]\n'
        'PREFECT_API_AUTH_STRING = "a:b"\nPREFECT_SERVER_API_AUTH_STRING = "a:b"\n'
    )
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in theirs.iterdir()}
    database = f"sqlite+aiosqlite:///{theirs}/prefect.db"
    place = tmp_path / "place"
    place.mkdir()
    (place / ".env").write_text("PREFECT_SERVER_API_AUTH_STRING=c:d\nPREFECT_API_AUTH_STRING=e:f\n")
    (place / "prefect.toml").write_text('[server.database]\nconnection_url = "nonsense"\n')
    done = subprocess.run(
        [COMMANDS / "hmap-cleaner", *half.arguments, "--json"],
        cwd=place,
        env={
            **alone.environment,
            **dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"), standing_in.url),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
            "PREFECT_HOME": str(theirs),
            "PREFECT_API_AUTH_STRING": "me:mine",
            "PREFECT_API_KEY": "pnu_mine",
            "PREFECT_API_DATABASE_CONNECTION_URL": database,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
            "PREFECT_API_SSL_CERT_FILE": "/not/there.pem",
            "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": "true",
            "PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-Mine": "yes"}',
            "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
            "PREFECT_SERVER_API_AUTH_STRING": "them:theirs",
            "PREFECT_SERVER_API_BASE_PATH": "/their/path",
            "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
            "PREFECT_SERVER_API_HOST": "192.0.2.1",
            "PREFECT_SERVER_API_PORT": "1",
            "PREFECT_SERVER_UI_SERVE_BASE": "/ui",
            "PREFECT_UI_API_URL": f"{standing_in.url}/api",
            "PREFECT_SERVER_UI_API_URL": f"{standing_in.url}/api",
            "PREFECT_CLOUD_API_URL": f"{standing_in.url}/api",
            "PREFECT_SERVER_DOCKET_URL": "redis://127.0.0.1:1/0",
            "PREFECT_MESSAGING_BROKER": "not_there.messaging",
            "PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "not_there.messaging",
            "PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": "s3-bucket/theirs",
            "PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK": "s3-bucket/theirs",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == DONE, done.stderr
    assert json.loads(done.stdout)["applied"] == 3
    assert standing_in.asked == []
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in theirs.iterdir()} == before
    assert not list((tmp_path / "home").rglob("*.db"))


def test_r2_a_home_that_cannot_be_written_is_one_sentence(half: Datashare, alone: Command, tmp_path: Path) -> None:
    alone.environment.update({"HOME": "/proc/1/no-home", "XDG_STATE_HOME": "/proc/1/no-state"})
    done = alone("steward", "hmap-clean", *half.arguments)
    assert done.returncode == FAILED
    assert "Set PREFECT_HOME to a folder that can be written" in one_line(done)
    alone.environment["PREFECT_HOME"] = str(tmp_path / "prefect")
    assert alone("steward", "hmap-clean", *half.arguments).returncode == DONE


def test_r8_a_link_has_one_slash(half: Datashare, command: Command, prefect: PrefectServer) -> None:
    command.environment["PREFECT_UI_URL"] = f"{prefect.url}/"
    done = command("steward", "hmap-clean", *half.arguments)
    assert f"Run: {prefect.url}/runs/flow-run/" in done.stderr


# ------------------------------------------------------------------------------------- output and disks that are full


def shell(environment: dict[str, str], line: str, *arguments: object) -> CompletedProcess[str]:
    """Run a line of bash, whose status is that of a pipe's first command."""
    line = f"{line}; exit ${{PIPESTATUS[0]}}"
    path = {**environment, "PATH": f"{COMMANDS}:{environment['PATH']}"}
    return subprocess.run(["bash", "-c", line, "bash", *map(str, arguments)], env=path, capture_output=True, text=True)


@pytest.mark.parametrize("options", ["", "--json", "--limit 0", "--limit 0 --json"])
def test_a_reader_who_has_read_enough_ends_nothing_badly(
    datashare: Datashare, environment: dict[str, str], options: str
) -> None:
    datashare.gone(3000)
    plan = datashare.plan(max_fraction=1, allow_empty=True).plan
    done = shell(environment, f'steward plan show "$1" {options} | head -1', plan)
    assert (done.returncode, done.stderr) == (DONE, "")
    assert len(done.stdout.splitlines()) == 1
    assert shell(environment, f'steward plan show "$1" {options} | true', plan).returncode == DONE


@pytest.mark.parametrize("options", ["", "--json"])
def test_a_report_that_nobody_reads_leaves_the_run_as_it_is(
    half: Datashare, environment: dict[str, str], options: str
) -> None:
    done = shell(environment, f'hmap-cleaner "$@" {options} 2>/dev/null | true', *half.arguments)
    assert (done.returncode, done.stderr, len(half.tasks)) == (DONE, "", 3)


@pytest.mark.parametrize("line", ["steward", "steward --help", "steward --version", "steward hmap-clean --help"])
def test_help_that_cannot_be_written_is_one_line(environment: dict[str, str], line: str) -> None:
    done = shell(environment, f"{line} >/dev/full")
    assert done.returncode == FAILED
    assert one_line(done) == "Failed: The output cannot be written: No space left on device."
    assert shell(environment, f"{line} | true").returncode == DONE


def test_a_report_that_cannot_be_written_is_one_line(half: Datashare, environment: dict[str, str]) -> None:
    done = shell(environment, 'hmap-cleaner "$@" --json >/dev/full', *half.arguments)
    assert done.returncode == FAILED
    assert done.stderr.endswith("Failed: The output cannot be written: No space left on device.\n")
    assert "Traceback" not in done.stderr
    assert len(half.tasks) == 3


@pytest.mark.parametrize("closed", ["2>&-", "2>/dev/full", "<&-", ">&-"])
def test_streams_that_are_closed_or_full_do_not_end_a_run(
    half: Datashare, environment: dict[str, str], closed: str
) -> None:
    done = shell(environment, f'hmap-cleaner "$@" {closed}', *half.arguments)
    assert (done.returncode, len(half.tasks)) == (DONE, 3)
    assert "Traceback" not in done.stderr


def test_a_log_file_on_a_full_disk_is_said_once(half: Datashare, here: Here) -> None:
    done = here("hmap-cleaner", *half.arguments, "--log-file", "/dev/full", "--log-level", "DEBUG")
    assert (done.returncode, len(half.tasks)) == (DONE, 3)
    assert done.stderr.count("--log-file /dev/full cannot be written any more: No space left on device.\n") == 1
    assert "Logging error" not in done.stderr


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a file system of some size, or with other options."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / "small"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@BY_ROOT
def test_plans_on_a_full_disk_are_plain_words_and_nothing_is_changed(
    datashare: Datashare, here: Here, small: Callable[[str], Path]
) -> None:
    datashare.present(1)
    datashare.gone(20_000)
    folder = small("size=64k")
    done = here("hmap-cleaner", *datashare.arguments, "--max-fraction", "1", "--plans", folder)
    assert done.returncode == FAILED
    assert f"The plan cannot be written to {folder}: No space left on device." in done.stderr
    assert "Traceback" not in done.stderr
    assert len(datashare.tasks) == 20_001
    assert not list(folder.iterdir())


@BY_ROOT
def test_plans_that_cannot_be_written_are_plain_words_and_nothing_is_changed(
    half: Datashare, here: Here, small: Callable[[str], Path]
) -> None:
    folder = small("size=64k,ro")
    done = here("hmap-cleaner", *half.arguments, "--plans", folder)
    assert done.returncode == USAGE
    assert f"Plans cannot be kept in {folder}: Read-only file system." in done.stderr
    assert len(half.tasks) == 6


def test_a_file_size_limit_is_a_full_disk_too(datashare: Datashare, command: Command) -> None:
    datashare.present(1)
    datashare.gone(5000)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(
        [COMMANDS / "hmap-cleaner", *datashare.arguments, "--max-fraction", "1"],
        env=command.environment,
        preexec_fn=limited,
        capture_output=True,
        text=True,
    )
    assert done.returncode == FAILED
    assert "The plan cannot be written to " in done.stderr
    assert len(datashare.tasks) == 5001


# ------------------------------------------------------------------------------------------------------- being ended


def ended(run: "subprocess.Popen[str]", number: signal.Signals) -> str:
    """Send a signal to a command and return what it says."""
    os.kill(run.pid, number)
    _, said = run.communicate(timeout=60)
    assert "Traceback" not in said
    return said


ENDS = pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, TERMINATED), (signal.SIGINT, INTERRUPTED)])


@ENDS
def test_ended_while_it_plans(
    half: Datashare, command: Command, proxy: ChaosProxy, number: signal.Signals, status: int
) -> None:
    proxy.mode = "blackhole"
    run = command.start("steward", "hmap-clean", *half.arguments)
    until(lambda: proxy.swallowed)
    said = ended(run, number)
    assert (run.returncode, said.splitlines()[-1]) == (
        status,
        "Terminated." if status == TERMINATED else "Interrupted.",
    )


@ENDS
def test_ended_in_the_middle_of_its_changes(
    datashare: Datashare, command: Command, proxy: ChaosProxy, number: signal.Signals, status: int
) -> None:
    datashare.present(2000)
    datashare.gone(2000)
    before = datashare.everything()
    proxy.latency = 0.01
    run = command.start("hmap-cleaner", *datashare.arguments)
    until(lambda: datashare.redis.hlen(datashare.key) <= 3500 or run.poll() is not None)
    said = ended(run, number)
    proxy.latency = 0
    assert run.returncode == status
    (plan,) = [line.removeprefix("Plan: ") for line in said.splitlines() if line.startswith("Plan: ")]
    assert f"steward undo {Path(plan).name} {datashare.url}" in said
    assert command("steward", "undo", plan, datashare.url).returncode == DONE
    assert datashare.everything() == before


@ENDS
def test_ended_while_its_plan_waits_for_approval(
    half: Datashare, command: Command, number: signal.Signals, status: int
) -> None:
    run = command.start("hmap-cleaner", *half.arguments, "--approve")
    assert run.stderr
    lines: list[str] = []
    while not (lines and lines[-1].startswith("Plan: ")):
        lines.append(run.stderr.readline())
        assert run.poll() is None, lines
    plan = Path(lines[-1].removeprefix("Plan: ").strip())
    time.sleep(0.5)  # until it waits
    said = ended(run, number)
    assert run.returncode == status
    assert f"steward apply {plan.name} {half.url}" in said
    assert len(half.tasks) == 6
    assert command("steward", "apply", plan, half.url).returncode == DONE


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
