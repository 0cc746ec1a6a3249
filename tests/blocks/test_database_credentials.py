"""Credentials open the database they name, however its URL is written, and show their secrets nowhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from prefect.blocks.core import Block
from pydantic import ValidationError
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError

from blocks.database_credentials import DatabaseCredentials
from blocks.errors import UnusableCredentials
from tests.blocks.as_a_block import AsABlock

SECRET = "p@:/?#%&+s3cret é€"
QUOTED = "p%40%3A%2F%3F%23%25%26%2Bs3cret%20%C3%A9%E2%82%AC"
URL = DatabaseCredentials.from_argument


class TestAsABlock(AsABlock):
    @pytest.fixture
    def block(self) -> type[Block]:
        return DatabaseCredentials


class Connecting(Exception):
    """It would connect now."""


def opens(url: str) -> dict[str, Any]:
    """Give what the driver would be given, by PostgreSQL's names."""
    given: dict[str, Any] = {}

    def look(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> None:
        given.update(options, file=arguments)
        raise Connecting

    engine = URL(url).get_client()
    event.listen(engine, "do_connect", look)
    with pytest.raises(Connecting):
        engine.connect()
    return {{"database": "dbname"}.get(name, name): value for name, value in given.items()}


SERVERS = [
    ("postgresql://h/d", "postgresql://h:5432/d", {"host": "h", "port": 5432, "dbname": "d"}),
    ("postgres://h:1/d", "postgresql://h:1/d", {"port": 1}),
    ("postgresql+psycopg://u:pw@h/d", "postgresql://h:5432/d", {"user": "u", "password": "pw"}),
    (f"postgresql://u%40:{QUOTED}@h/d", "postgresql://h:5432/d", {"user": "u@", "password": SECRET}),
    ("postgresql://u@[::1]:1/d", "postgresql://[::1]:1/d", {"host": "::1", "user": "u"}),
    ("postgresql://h/d?sslmode=verify-full&sslrootcert=/ca", "postgresql://h:5432/d", {"sslrootcert": "/ca"}),
    ("postgresql://h/d?connect_timeout=3&application_name=me", "postgresql://h:5432/d", {"application_name": "me"}),
    ("postgresql://h/a%20b", "postgresql://h:5432/a b", {"dbname": "a b"}),
    ("mysql://u:pw@h/d", "mysql://h:3306/d", {"host": "h", "port": 3306, "dbname": "d", "password": b"pw"}),
    ("mysql+pymysql://h:1/d?charset=utf8mb4", "mysql://h:1/d", {"port": 1, "charset": "utf8mb4"}),
    (f"mariadb://u:{QUOTED}@h/d", "mysql://h:3306/d", {"user": "u", "password": SECRET.encode()}),
    ("mysql://h/d?ssl_ca=/ca&sslMode=VERIFY_CA", "mysql://h:3306/d", {"ssl_ca": "/ca", "ssl_verify_cert": True}),
]
JAVA = [
    # Those of the scripts' README:
    (
        "jdbc:postgresql://postgres/datashare?user=admin&password=admin",
        "postgresql://postgres:5432/datashare",
        {"host": "postgres", "dbname": "datashare", "user": "admin", "password": "admin"},
    ),
    ("jdbc:postgresql://h:1/d?user=u&password=p&sslmode=require", "postgresql://h:1/d", {"sslmode": "require"}),
    (f"jdbc:postgresql://h/d?user=u&password={QUOTED}", "postgresql://h:5432/d", {"password": SECRET}),
    ("jdbc:postgresql://h/d?ssl=true", "postgresql://h:5432/d", {"sslmode": "verify-full"}),
    ("jdbc:postgresql://h/d?ssl=false", "postgresql://h:5432/d", {"host": "h"}),
    (
        "jdbc:postgresql://h/d?currentSchema=s&ApplicationName=a",
        "postgresql://h:5432/d",
        {"options": "-csearch_path=s"},
    ),
    ("jdbc:postgresql:d", "postgresql://localhost:5432/d", {"host": "localhost", "dbname": "d"}),
    ("jdbc:mysql://h:1/d?user=u&password=p", "mysql://h:1/d", {"user": "u", "password": b"p"}),
    ("jdbc:mysql://h/d?useSSL=false&serverTimezone=UTC", "mysql://h:3306/d", {"ssl_disabled": True}),
    ("jdbc:mysql://h/d?useSSL=true", "mysql://h:3306/d", {"ssl": {"check_hostname": False}}),
    ("jdbc:mysql://h/d?sslMode=REQUIRED", "mysql://h:3306/d", {"ssl": {"check_hostname": False}}),
    (
        "jdbc:mariadb://h/d?sslMode=verify-full&serverSslCert=/ca",
        "mysql://h:3306/d",
        {"ssl_ca": "/ca", "ssl_verify_cert": True, "ssl_verify_identity": True},
    ),
    (f"jdbc:mariadb://h/d?user=u&password={QUOTED}", "mysql://h:3306/d", {"password": SECRET.encode()}),
]


@pytest.mark.parametrize(("url", "location", "expected"), SERVERS + JAVA)
def test_s12_a_server(url: str, location: str, expected: dict[str, Any]) -> None:
    assert URL(url).location == location
    assert expected.items() <= opens(url).items()


def test_nothing_is_said_of_tls_or_a_password_that_the_url_does_not_say() -> None:
    for url in ("postgresql://h/d", "mysql://h/d", "jdbc:mysql://h/d?sslMode=PREFERRED"):
        assert not [name for name in opens(url) if "ssl" in name or name == "password"]


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("jdbc:sqlite:file:/path/to/db/datashare.db", "/path/to/db/datashare.db"),
        ("jdbc:sqlite:/a/b.db", "/a/b.db"),
        ("jdbc:sqlite:///a/b.db", "/a/b.db"),
        ("jdbc:sqlite:file:///a/b.db", "/a/b.db"),
        ("jdbc:sqlite:file:/a%20b%23.db?cache=shared", "/a b#.db"),
        ("jdbc:sqlite:file:here.db", "{here}/here.db"),
        ("jdbc:sqlite:here/b.db", "{here}/here/b.db"),
        ("sqlite:file:/a/b.db", "/a/b.db"),
        ("sqlite:/a/b.db", "/a/b.db"),
        ("sqlite:////a/b.db", "/a/b.db"),
        ("sqlite:///here.db", "{here}/here.db"),
        ("sqlite+pysqlite:///../b.db", "{above}/b.db"),
        ("sqlite:///file:/a%20b.db?uri=true", "/a b.db"),
        ("sqlite:/a%20b.db", "/a%20b.db"),
    ],
)
def test_s12_a_file(url: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = path.format(here=tmp_path.resolve(), above=tmp_path.resolve().parent)
    assert URL(url).location == f"sqlite:///{path}"


@pytest.mark.parametrize("name", ["plain.db", "with space.db", "50%.db", "a#b.db", "ü.db", "it's.db"])
def test_a_file_of_any_name_is_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with URL(f"sqlite:{tmp_path}/{name}").get_client().begin() as connection:
        connection.exec_driver_sql("CREATE TABLE there (id int)")
    assert (tmp_path / name).stat().st_size


@pytest.mark.parametrize("mode", ["", "?mode=rwc", "?mode=rw", "?mode=ro"])
def test_s12_a_missing_file_is_not_created(tmp_path: Path, mode: str) -> None:
    for prefix in ("jdbc:sqlite:file:", "sqlite:///", "sqlite:"):
        with pytest.raises(OperationalError, match="unable to open"):
            URL(f"{prefix}{tmp_path}/absent.db{mode}").get_client().connect()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://h/d?channel_binding=require", {"channel_binding": "require"}),
        ("postgresql://h/d?target_session_attrs=read-write&gssencmode=disable", {"gssencmode": "disable"}),
        ("postgresql://h/d?keepalives_idle=60", {"keepalives_idle": "60", "tcp_user_timeout": 30_000}),
        ("mysql://h/d?ssl-mode=REQUIRED", {"ssl": {"check_hostname": False}}),
        ("mysql://h/d?ssl-mode=VERIFY_IDENTITY&ssl-ca=/ca", {"ssl_ca": "/ca", "ssl_verify_identity": True}),
        ("mysql://h/d?ssl_mode=DISABLED", {"ssl_disabled": True}),
        (
            "mysql://h/d?ssl_verify_cert=true&ssl_ca=/ca&ssl-cert=/cert&ssl-key=/key",
            {"ssl_cert": "/cert", "ssl_key": "/key"},
        ),
        ("mysql://h/d?ssl_check_hostname=true&ssl_ca=/ca", {"ssl_verify_cert": True, "ssl_verify_identity": True}),
        ("mysql://h/d?ssl_disabled=true", {"ssl_disabled": True}),
    ],
)
def test_r12_libpq_s_and_mysql_s_own_names_are_taken(url: str, expected: dict[str, Any]) -> None:
    assert expected.items() <= opens(url).items()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://u:s3cret@h/d?sslfactory=org.postgresql.ssl.NonValidatingFactory", "sslfactory"),
        ("jdbc:postgresql://h/d?user=u&password=s3cret&sslfactory=x", "sslfactory"),
        ("jdbc:postgresql://h/d?user=u&password=s3cret&targetServerType=primary", "targetservertype"),
        ("postgresql://u:s3cret@h/d?foo=bar", "foo"),
        ("jdbc:postgresql://h/d?user=u&password=s3cret&hostaddr=127.0.0.1", "hostaddr"),
        ("postgresql://u:s3cret@h/d?service=other", "service"),
        ("mysql://u:s3cret@h/d?tlsVersions=TLSv1.2", "tlsversions"),
        ("mysql://u:s3cret@h/d?init_command=DROP", "init_command"),
    ],
)
def test_r12_another_option_is_refused_by_name(url: str, name: str) -> None:
    with pytest.raises(UnusableCredentials, match=rf"the option {name}, which is none of .*%26") as refused:
        URL(url)
    assert "s3cret" not in str(refused.value)


def test_r12_what_may_be_the_end_of_a_password_is_not_named() -> None:
    with pytest.raises(UnusableCredentials, match="an option that is none of") as refused:
        URL("jdbc:postgresql://h/d?user=u&password=x&s3cret=y")
    assert "s3cret" not in str(refused.value)


def test_the_time_for_connecting_to_mysql_can_be_given_as_its_driver_names_it() -> None:
    assert opens("mysql://h/d?connect_timeout=3")["connect_timeout"] == 3
    assert opens("mysql://h/d?connectTimeout=3000")["connect_timeout"] == 10  # Java's, in milliseconds


@pytest.mark.parametrize(
    ("variable", "value"),
    [("PGOPTIONS", "-csearch_path=s2"), ("PGHOSTADDR", "127.0.0.1"), ("PGSERVICE", "other")],
)
def test_a_variable_that_would_lead_elsewhere_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, variable: str, value: str
) -> None:
    """Seen: rows of another schema, and of another server, under the name of the URL's host."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(UnusableCredentials, match=f"{variable} is set in the environment, and would .*: unset it, "):
        URL(postgres_url).get_client()
    assert URL("mysql://h/d").get_client()


def test_a_variable_that_changes_nothing_is_not_refused(monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    given = {"PGOPTIONS": "-csearch_path=s2", "PGHOST": "h", "PGPORT": "1", "PGDATABASE": "d", "PGHOSTADDR": ""}
    for variable, value in given.items():
        monkeypatch.setenv(variable, value)
    with URL(f"{postgres_url}?currentSchema=s1").get_client().connect() as connection:
        assert connection.exec_driver_sql("SHOW search_path").scalar() == "s1"


UNUSABLE = [
    ("sqlite://", "in memory"),
    ("sqlite::memory:", "in memory"),
    ("jdbc:sqlite:", "in memory"),
    ("jdbc:sqlite:file:memorydb.db?mode=memory&cache=shared", "in memory"),
    ("sqlite:/a.db?journal_mode=wal", "none of cache, mode, uri"),
    ("sqlite+aiosqlite:///a.db", "the driver of sqlite is pysqlite"),
    ("postgresql+asyncpg://u:s3cret@h/d", "the driver of postgresql is psycopg"),
    ("mysql+aiomysql://u:s3cret@h/d", "the driver of mysql is pymysql"),
    ("postgresql://u:s3cret@h", "one database"),
    ("postgresql://u:s3cret@h/", "one database"),
    ("postgresql://u:s3cret@h/a/b", "one database"),
    ("jdbc:postgresql://h1:1,h2:2/d?user=u&password=s3cret", "one host"),
    ("jdbc:postgresql://h/d?user=u&password=x&s3cret", "none of .*%26"),
    (
        "jdbc:postgresql://h/d?user=u&password=s3cret&targetServerType=any",
        "option targetservertype, .*none of .*sslmode",
    ),
    ("jdbc:mysql://h/d?password=s3cret&allowMultiQueries=true", "none of .*ssl_ca"),
    ("jdbc:mysql://h/d?password=s3cret&sslMode=sometimes", "one of .*verify-ca"),
    ("jdbc:mysql://h/d?password=s3cret&sslMode=VERIFY_IDENTITY", "must have ssl_ca"),
    ("mysql://u:s3cret@h/d?connect_timeout=0", "connect_timeout must be whole seconds"),
    ("mysql://u:s3cret@h/d?connect_timeout=1e9", "connect_timeout must be whole seconds"),
    ("postgresql://u:s3cret@h:port/d", "percent-encoded"),
    ("postgresql://u:s3cret@h:70000/d", "percent-encoded"),
    ("postgresql://u:s3cret@[::1/d", "percent-encoded"),
    ("postgresql://u:s3cret/more@h/d", "percent-encoded"),
    ("postgresql://u:12/s3cret@h/d", "percent-encoded"),
    ("postgresql://u:12/s3cret@h", "percent-encoded"),
    ("postgresql://u:s3cret?more@h/d", "percent-encoded"),
    ("postgresql://u:12?s3cret@h/d", "percent-encoded"),
    ("postgresql://u:s3cret#more@h/d", "percent-encoded"),
    ("mysql://u:12#s3cret@h/d", "percent-encoded"),
]


@pytest.mark.parametrize(("url", "why"), UNUSABLE)
def test_s12_a_url_that_cannot_be_used_says_why_and_not_the_secret(url: str, why: str) -> None:
    with pytest.raises(UnusableCredentials, match=why) as error:
        URL(url)
    with pytest.raises(ValidationError, match=why) as in_the_form:
        DatabaseCredentials(url=url)
    assert "s3cret" not in f"{error.value} {error.value!r} {in_the_form.value} {in_the_form.value!r}"


@pytest.mark.parametrize("text", ["", "h", "redis://u:s3cret@h", "oracle://h/d", "jdbc:h2:/a", "/a/b.db", "sqlite"])
def test_another_text_is_none_of_ours(text: str) -> None:
    with pytest.raises(ValueError, match="not of the form postgresql://") as error:
        URL(text)
    assert "s3cret" not in str(error.value)
    with pytest.raises(ValidationError, match="begins with sqlite:, postgresql:, mysql: or mariadb:"):
        DatabaseCredentials(url=text)


@pytest.mark.parametrize("url", ["postgresql://u:s3cret@h/d", "jdbc:mysql://h/d?user=u&password=s3cret"])
def test_secrets_are_never_shown(url: str) -> None:
    credentials = URL(url)
    client = credentials.get_client()
    shown = [
        repr(credentials),
        str(credentials),
        f"{credentials.model_dump()}",
        credentials.model_dump_json(),
        credentials.location,
        repr(client),
        str(client.url),
        client.url.render_as_string(hide_password=False),
    ]
    assert not [text for text in shown if "s3cret" in text]


def test_no_error_shows_what_a_statement_was_given(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    with URL(f"sqlite:{tmp_path}/a.db").get_client().connect() as connection, pytest.raises(DBAPIError) as error:
        connection.exec_driver_sql("SELECT ? FROM nowhere", ("s3cret",))
    assert "s3cret" not in str(error.value)


@pytest.fixture
def login(mariadb_url: str) -> Iterator[str]:
    """A user with an awkward password."""
    name = f"u{uuid4().hex[:20]}"
    with URL(mariadb_url).get_client().connect() as connection:
        connection.exec_driver_sql(f"CREATE USER {name} IDENTIFIED BY %s", (SECRET,))
        yield name
        connection.exec_driver_sql(f"DROP USER {name}")


def test_it_connects_with_user_and_password(mariadb_url: str, login: str) -> None:
    server = urlsplit(mariadb_url).netloc.rpartition("@")[2]
    for url in (
        f"mysql://{login}:{QUOTED}@{server}/information_schema",
        f"jdbc:mariadb://{server}/information_schema?user={login}&password={QUOTED}",
    ):
        with URL(url).get_client().connect() as connection:
            assert connection.exec_driver_sql("SELECT current_user()").scalar() == f"{login}@%"
    with pytest.raises(OperationalError, match="Access denied"):
        URL(f"mysql://{login}:wrong@{server}/information_schema").get_client().connect()


def test_a_client_takes_the_options_it_is_given(postgres_url: str) -> None:
    with URL(postgres_url).get_client(application_name="mine").connect() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar() == "mine"
