"""A TCP proxy that breaks connections on command, to test what clients make of it."""

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Literal, Self, get_args

CHUNK = 65_536
RST_ON_CLOSE = struct.pack("ii", 1, 0)
Way = Literal["up", "down"]
How = Literal["rst", "fin"]


@dataclass(frozen=True, eq=False)
class _Link:
    client: socket.socket
    server: socket.socket


class ChaosProxy:
    """Forward 127.0.0.1:`port` to a server. The knobs may be turned at any time and act on open connections too.

    `latency`: seconds each chunk waits. `cut_down`, `cut_up`: bytes that may still pass towards the client or the
    server before their connection is cut; None again after the cut, so that the next connection works. `cut_how`: what
    the client sees of a cut. `mode`: "pass", "blackhole" (everything is swallowed) or "reset" (a cut as soon as a
    connection is made or used). `connections`, `cuts`, `swallowed` and `passed` (bytes) prove that a fault fired.
    """

    def __init__(self, host: str, port: int) -> None:
        self.latency = 0.0
        self.cut_down: int | None = None
        self.cut_up: int | None = None
        self.cut_how: How = "rst"
        self.mode: Literal["pass", "blackhole", "reset"] = "pass"
        self.connections = self.cuts = self.swallowed = 0
        self.passed: dict[Way, int] = {"up": 0, "down": 0}
        self._server = (host, port)
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self.drop_all()

    def refuse(self) -> None:
        """Refuse new connections; open ones stay."""
        with contextlib.suppress(OSError):  # macOS does not shut a listener down; closing is enough there
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()

    def accept_again(self) -> None:
        """Listen on the same port after `refuse`."""
        self._listen(self.port)

    def drop_all(self) -> None:
        """Cut every open connection."""
        for link in list(self._links):
            self._cut(link)

    def _listen(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(0.05)
        self._accepting = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._accepting.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:  # closed by refuse()
                return
            self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        self.connections += 1
        try:
            link = _Link(client, socket.create_connection(self._server))
        except OSError:
            _close(client, "rst")
            return
        self._links.add(link)
        if self.mode == "reset":
            self._cut(link)
        for way in get_args(Way):
            threading.Thread(target=self._pump, args=(link, way), daemon=True).start()

    def _pump(self, link: _Link, way: Way) -> None:
        source, target = (link.client, link.server) if way == "up" else (link.server, link.client)
        try:
            while chunk := source.recv(CHUNK):
                time.sleep(self.latency)
                let_through, cut = self._judge(chunk, way)
                target.sendall(let_through)
                if cut:
                    self._cut(link)
        except OSError:  # a side has gone without goodbye, or we cut it
            pass
        self._end(link, "fin")

    def _judge(self, chunk: bytes, way: Way) -> tuple[bytes, bool]:
        """Return what of the chunk passes, and whether the connection is cut after it."""
        knob = f"cut_{way}"
        with self._lock:
            if self.mode == "blackhole":
                self.swallowed += len(chunk)
                return b"", False
            left: int | None = 0 if self.mode == "reset" else getattr(self, knob)
            cut = left is not None and left <= len(chunk)
            let_through = chunk[:left] if cut else chunk
            if left is not None:
                setattr(self, knob, None if cut else left - len(chunk))
            self.passed[way] += len(let_through)
        return let_through, cut

    def _cut(self, link: _Link) -> None:
        self._end(link, self.cut_how, cuts=1)

    def _end(self, link: _Link, how: How, cuts: int = 0) -> None:
        with self._lock:
            if link not in self._links:
                return
            self._links.remove(link)
            self.cuts += cuts
        _close(link.client, how)
        _close(link.server, "fin")  # so that the server handles all it was sent


def _close(side: socket.socket, how: How) -> None:
    if how == "rst":
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)
    with contextlib.suppress(OSError):  # the other end may have closed first
        # Without a shutdown, close() would wait for the thread that is reading from this side.
        side.shutdown(socket.SHUT_RD if how == "rst" else socket.SHUT_RDWR)
    side.close()
