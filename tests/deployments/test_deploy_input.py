"""What the environment may say, and what a deploy answers when it says something else; no server needed."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient
from prefect.types import SecretDict
from pydantic import SecretStr

from deployments import alerts, api, block_documents, channels
from deployments.errors import ApiUnreachable, BadAlertChannel, BadBlockVariable

ROOT = Path(__file__).parents[2]
SECRET = "hunter2"
SERVER = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
ONE = "STEWARD_BLOCK__STORE_CREDENTIALS__ONE__"


class StoreCredentials(Block):
    """A block type with every kind of field."""

    _block_type_slug = "store-credentials"
    host: str = "localhost"
    port: int = 1
    tls: bool = False
    password: SecretStr | None = None
    options: SecretDict = SecretDict({})


TYPES: dict[str, type[Block]] = {"store-credentials": StoreCredentials}


def test_a_document_from_the_environment() -> None:
    (document,) = block_documents.documents_from(
        {
            f"{ONE}HOST": "db.example.org",
            f"{ONE}PORT": "5432",
            f"{ONE}TLS": "true",
            f"{ONE}PASSWORD": '{"not": "json"',
            f"{ONE}OPTIONS": '{"sslcert": "x"}',
            "STEWARD_HOME": "/opt/app",
        },
        TYPES,
    )
    block = document.block
    assert isinstance(block, StoreCredentials)
    assert document.slug == "store-credentials/one"
    assert (block.host, block.port, block.tls) == ("db.example.org", 5432, True)
    assert block.password == SecretStr('{"not": "json"')
    assert block.options.get_secret_value() == {"sslcert": "x"}
    assert "not" not in repr(document)


def test_several_documents_with_dashes_in_their_names() -> None:
    environ = {
        "STEWARD_BLOCK__STORE_CREDENTIALS__TWO_B__HOST": "b",
        "STEWARD_BLOCK__STORE_CREDENTIALS__TWO_A__HOST": "a",
    }
    slugs = [document.slug for document in block_documents.documents_from(environ, TYPES)]
    assert slugs == ["store-credentials/two-a", "store-credentials/two-b"]
    assert block_documents.prefix_of("store-credentials/two-a") == "STEWARD_BLOCK__STORE_CREDENTIALS__TWO_A__"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("STEWARD_BLOCK__STORE_CREDENTIALS__URL", SECRET, "<TYPE>__<DOCUMENT>__<FIELD>"),
        ("STEWARD_BLOCK__STORE__ONE__URL", SECRET, "no block type store; there is store-credentials"),
        (f"{ONE}PASSWORT", SECRET, "host, options, password, port, tls"),
        (f"{ONE}PORT", SECRET, "port: Input should be a valid integer"),
        (f"{ONE}HOST", f"redis://:{SECRET}@db.example.org", "HOST: has a password"),
        (f"{ONE}OPTIONS", f'{{"a": {SECRET}', "not valid JSON"),
    ],
)
def test_a_bad_block_variable_is_named_and_its_value_is_not(variable: str, value: str, says: str) -> None:
    with pytest.raises(BadBlockVariable) as refusal:
        block_documents.documents_from({variable: value}, TYPES)
    assert says in str(refusal.value)
    assert "STEWARD_BLOCK__STORE" in str(refusal.value)
    assert SECRET not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_document_that_lacks_a_field_is_refused_and_the_variable_named() -> None:
    given = {"STEWARD_BLOCK__OBJECT_STORE_CREDENTIALS__LAB__ENDPOINT": "minio:9000"}
    with pytest.raises(BadBlockVariable, match="set STEWARD_BLOCK__OBJECT_STORE_CREDENTIALS__LAB__BUCKET too"):
        block_documents.documents_from(given, block_documents.block_types())


def test_block_types_are_found_by_themselves() -> None:
    found = block_documents.block_types()
    assert "redis-credentials" in found
    assert all(block.__module__.startswith("blocks.") for block in found.values())


def test_channels() -> None:
    found = channels.channels_from(
        {
            "STEWARD_ALERT_SLACK_URL": "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
            "STEWARD_ALERT_EMAIL_URL": f"mailtos://me:{SECRET}@smtp.example.org?from=a@example.org&to=b@example.org",
            "STEWARD_ALERT_WEBHOOK_URL": f"https://example.org/{SECRET}",
        }
    )
    assert [channel.document for channel in found] == [
        "steward-alerts-slack",
        "steward-alerts-email",
        "steward-alerts-webhook",
    ]
    assert SECRET not in repr(found) + str([channel.block for channel in found])
    assert channels.channels_from({"STEWARD_ALERT_SLACK_URL": ""}) == []


@pytest.mark.parametrize("name", channels.KINDS)
@pytest.mark.parametrize("url", [f"nonsense-{SECRET}", f"ftp://{SECRET}@example.org", f"https:/{SECRET}"])
def test_a_bad_channel_is_named_and_its_value_is_not(name: str, url: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(BadAlertChannel, match=f"{name}: .* write it like ") as refusal:
        channels.channels_from({name: url})
    assert SECRET not in str(refusal.value) + caplog.text


def test_without_a_channel_only_what_sends_nothing_is_upserted() -> None:
    assert [automation.name for automation in alerts.automations([])] == [
        "steward: stuck in pending",
        "steward: zombie",
    ]


def test_a_server_that_does_not_answer() -> None:
    with (
        SyncPrefectClient("http://127.0.0.1:9/api") as client,
        pytest.raises(ApiUnreachable, match=r"127\.0\.0\.1:9/api did not answer within 0 s .*PREFECT_API_URL"),
    ):
        api.wait_for_api(client, wait=0)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "PREFECT_API_URL is not set"),
        ({"PREFECT_API_URL": f"http://u:{SECRET}@127.0.0.1:9/api"}, "PREFECT_API_URL has a password"),
        ({**SERVER, "PREFECT_UI_URL": f"http://u:{SECRET}@127.0.0.1:9"}, "PREFECT_UI_URL has a password"),
        ({**SERVER, "STEWARD_BLOCK__NO__ONE__URL": SECRET}, "no block type no"),
        ({**SERVER, "STEWARD_HMAP_CLEAN_ARCHIVE_DIR": f"redis://:{SECRET}@host"}, "$STEWARD_HMAP_CLEAN_ARCHIVE_DIR"),
    ],
    ids=["no server", "password in the API's address", "password in the UI's", "bad variable", "secret in a parameter"],
)
def test_bad_input_ends_with_status_2(variables: dict[str, str], says: str, tmp_path: Path) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "STEWARD_"))}
    environment = {**inherited, "PREFECT_HOME": str(tmp_path), **variables}
    command = [sys.executable, "-m", "deployments"]
    refused = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert refused.returncode == 2, refused.stderr
    assert refused.stderr.startswith("error: ")
    assert says in refused.stderr
    assert SECRET not in refused.stdout + refused.stderr


@pytest.fixture(params=[500, 200])
def half_a_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of what answers as a Prefect server does at first, and then with status 500, or with something."""

    class Half(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200 if self.path.endswith(("/health", "/version")) else 404, b'"3.8.8"')

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.answer(200 if self.path.endswith("/filter") else request.param, b"[]")

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Half) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_a_server_that_fails_on_the_way_is_told_of_in_one_line(half_a_server: str, tmp_path: Path) -> None:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "STEWARD_"))}
    environment = {**inherited, "PREFECT_HOME": str(tmp_path), "PREFECT_API_URL": half_a_server}
    done = subprocess.run(
        [sys.executable, "-m", "deployments"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the Prefect server failed on the way (")
    assert done.stderr.count("\n") == 1
