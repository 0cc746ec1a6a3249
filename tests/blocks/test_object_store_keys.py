"""Keys from the environment: as AWS's tools take them, on a real server; what is not there is named."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from blocks.errors import UnusableCredentials
from blocks.object_store_credentials import ObjectStoreCredentials

LATER = "2099-01-01T00:00:00Z"
ENVIRONMENT = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
)
CREDENTIALS = {"AccessKeyId": "testkey", "SecretAccessKey": "testsecret", "Token": "", "Expiration": LATER}
ASSUMED = f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>testkey</AccessKeyId>
<SecretAccessKey>testsecret</SecretAccessKey><SessionToken></SessionToken><Expiration>{LATER}</Expiration></Credentials>
</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


class Metadata(BaseHTTPRequestHandler):
    """A stand-in for the addresses where a container, an instance and STS give keys."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Answer with what is at a path."""
        self.asked.append(f"{self.command} {self.path}")
        roles = "/latest/meta-data/iam/security-credentials/"
        given = {"/latest/api/token": "token", roles: "role", f"{roles}role": json.dumps(CREDENTIALS)}
        given["/container"] = json.dumps(CREDENTIALS)
        text = ASSUMED if "WebIdentityToken=jwt" in self.path else given.get(self.path, "")
        self.send_response(200 if text else 404)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self) -> None:
        """Answer as to any other request."""
        self.do_GET()

    def do_POST(self) -> None:
        """Answer as to any other request."""
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def metadata() -> Iterator[str]:
    Metadata.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def without_keys(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStoreCredentials:
    """The real server, without keys in the block or the environment."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    whole = ObjectStoreCredentials.from_argument(f"{s3_url}/any-bucket")
    return whole.model_copy(update={"access_key": None, "secret_key": None})


def opens(credentials: ObjectStoreCredentials) -> bool:
    return isinstance(credentials.get_client().list_buckets(), list)


def test_keys_of_a_container(without_keys: Any, metadata: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{metadata}/container")
    assert opens(without_keys)
    assert Metadata.asked == ["GET /container"]


def test_keys_of_an_instance(without_keys: Any, metadata: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata)
    assert opens(without_keys)
    assert Metadata.asked[0] == "PUT /latest/api/token"


def test_keys_of_a_web_identity(
    without_keys: Any, metadata: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("jwt")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", metadata)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/steward")
    assert opens(without_keys)
    assert len(Metadata.asked) == 1


def test_a_session_token_goes_with_every_request(without_keys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")
    address = without_keys.get_client().get_presigned_url("GET", "any-bucket", "key")
    assert "X-Amz-Security-Token=session" in address


@pytest.mark.parametrize(
    "name", ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_WEB_IDENTITY_TOKEN_FILE"]
)
def test_where_no_keys_are_given_the_source_is_named(
    without_keys: Any, metadata: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"{metadata}/nothing")
    with pytest.raises(UnusableCredentials, match=f"There are no keys for http://.*: {name} gives none: "):
        opens(without_keys)


def test_a_token_is_no_part_of_what_is_said(
    without_keys: Any, metadata: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("s3cret")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", metadata)
    with pytest.raises(UnusableCredentials, match="status code 404") as error:
        opens(without_keys)
    assert "s3cret" in Metadata.asked[0]
    assert "s3cret" not in f"{error.value!r} {error.value.__cause__!r}"
    assert error.value.__suppress_context__


def test_what_is_not_read_is_named(without_keys: Any) -> None:
    with pytest.raises(UnusableCredentials, match=r"AWS_SESSION_TOKEN.*AWS_WEB_IDENTITY_TOKEN_FILE.*not read"):
        without_keys.get_client()
