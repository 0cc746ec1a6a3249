"""An HTTP proxy that now and then answers 503 in a server's place, as S3 does when it is asked too much."""

import http.client
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"

OUR_OWN = {"transfer-encoding", "connection", "content-length"}


class BusyProxy:
    """Forward 127.0.0.1:`port` to a server, whose answers it passes on as they are.

    The next `busy` requests (of a method of `busy_with`, whose path has `busy_where` in it) get `answer` from us, a
    status and a body, by default 503 SlowDown, and the server does not see them. `refused` counts those, `passed` the
    others, `passed_with` by method.

    `cut_at`: the request, counted from 1 and of any method, that loses its connection; `cut_before` says whether the
    server never sees it, or has answered it. `cuts` counts them. `alter` makes of a request's method, path and body,
    and of the answer's body, the body that is passed on.
    """

    def __init__(self, host: str, port: int) -> None:
        self.busy = self.refused = self.passed = 0
        self.busy_with = {"GET", "HEAD", "PUT", "POST", "DELETE"}
        self.busy_where = ""
        self.answer = 503, SLOW_DOWN
        self.passed_with: Counter[str] = Counter()
        self.requests = self.cuts = 0
        self.cut_at: int | None = None
        self.cut_before = False
        self.alter: Callable[[str, str, bytes, bytes], bytes] = lambda _method, _path, _asked, body: body
        self.server = (host, port)
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port: int = self._listener.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()

    def cuts_now(self) -> bool:
        """Say whether this request loses its connection, and count it."""
        with self._lock:
            self.requests += 1
            cut = self.requests == self.cut_at
            self.cuts += cut
        return cut

    def refuses(self, method: str, path: str) -> bool:
        """Say whether we answer this request, and count it."""
        with self._lock:
            refuse = self.busy > 0 and method in self.busy_with and self.busy_where in path
            self.busy -= refuse
            self.refused += refuse
            self.passed += not refuse
            self.passed_with[method] += not refuse
        return refuse


class _Handler(BaseHTTPRequestHandler):
    proxy: BusyProxy
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        """Read a request of any method, and answer it."""
        self.raw_requestline = self.rfile.readline(65_537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        cut = self.proxy.cuts_now()
        if cut and self.proxy.cut_before:
            self.close_connection = True
            return
        if self.proxy.refuses(self.command, self.path):
            status, body = self.proxy.answer
            self._answer(status, [("Content-Type", "application/xml")], body)
            return
        connection = http.client.HTTPConnection(*self.proxy.server)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        response = connection.getresponse()
        headers = [one for one in response.getheaders() if one[0].lower() not in OUR_OWN]
        answer = self.proxy.alter(self.command, self.path, body, response.read())
        connection.close()
        if cut:
            self.close_connection = True
            return
        self._answer(response.status, headers, answer)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
