"""A stand-in for an S3 server that keeps keys to the letter, as AWS and Ceph do; SeaweedFS makes `//` one slash."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.etree import ElementTree

PAGE = """<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{}</ListBucketResult>"""
CONTENTS = (
    "<Contents><Key>{key}</Key><Size>{size}</Size><ETag>x</ETag>"
    "<LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
)


class ExactStore:
    """One bucket on 127.0.0.1:`port`; `keys` are those of all buckets, without the bucket's name."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        handler = type("Handler", (_Handler,), {"store": self})
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port: int = self._listener.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()


class _Handler(BaseHTTPRequestHandler):
    store: ExactStore
    protocol_version = "HTTP/1.1"

    @property
    def key(self) -> str:
        return unquote(urlsplit(f"http://h{self.path}").path).removeprefix("/").partition("/")[2]

    def do_PUT(self) -> None:
        """Write an object."""
        self.store.objects[self.key] = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(200, b"")

    def do_HEAD(self) -> None:
        """Answer whether there is an object."""
        self._answer(200 if self.key in self.store.objects else 404, b"")

    def do_POST(self) -> None:
        """Delete objects."""
        asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        for one in ElementTree.fromstring(asked).iter():
            if one.tag.endswith("Key"):
                self.store.objects.pop(one.text or "", None)
        self._answer(200, b"<DeleteResult/>")

    def do_GET(self) -> None:
        """List objects, or read one."""
        query = {name: one[0] for name, one in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}
        if "list-type" not in query:
            self._answer(200 if self.key in self.store.objects else 404, self.store.objects.get(self.key, b""))
            return
        after = query.get("start-after", "")
        found = [key for key in sorted(self.store.objects) if key.startswith(query.get("prefix", "")) and key > after]
        contents = (CONTENTS.format(key=quote(key), size=len(self.store.objects[key])) for key in found)
        self._answer(200, PAGE.format("".join(contents)).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
