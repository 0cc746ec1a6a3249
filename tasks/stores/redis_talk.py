"""Talking to Redis: commands sent ahead of their answers, reads repeated, failures said in our words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, NamedTuple

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from tasks.changes.errors import StewardError, StoreDenied, StoreFailed, StoreUnavailable
from tasks.stores.border import border
from tasks.stores.redis_errors import meaning

RETRIES: Final = 3


class Replies(NamedTuple):
    """What became of commands that were sent.

    `answers` has for each the server's answer, the error for which it was not carried out, or None where that is not
    known; `broken` is what kept them from being sent or answered.
    """

    answers: list[Any]
    broken: StewardError | None = None


class Talk:
    """A server, and how commands are sent to it; `location` names it in messages, without secrets."""

    def __init__(self, client: Redis, location: str) -> None:
        self.location = location
        self._connect = client.connection_pool.make_connection
        self._connection: Any = self._connect()  # its socket opens with the first command

    def read(self, *command: object) -> Any:
        """Send a command that changes nothing and return its answer; where the connection breaks, send it again."""
        return Reader(self._connection, self.location).answer(command)

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Open a connection on which commands are sent before their answers are wanted."""
        connection: Any = self._connect()
        try:
            yield Reader(connection, self.location)
        finally:
            connection.disconnect()

    def send(self, commands: Sequence[Sequence[object]]) -> Callable[[], Replies]:
        """Send commands, none of them twice, the server working on one while the next is packed.

        Returns a function that waits for what becomes of them.
        """
        sent = 0
        try:
            with self._unbroken():
                self._connection.connect()
                for command in commands:
                    sent += 1  # it may arrive though sending it fails
                    self._connection.send_command(*command)
        except StewardError as error:
            broken = Replies([None] * sent + [error] * (len(commands) - sent), error)
            return lambda: broken
        return lambda: self._replies(sent)

    def _replies(self, sent: int) -> Replies:
        answers: list[Any] = []
        try:
            with self._unbroken():
                while len(answers) < sent:
                    answers.append(self._answer())
        except StewardError as error:
            return Replies(answers + [None] * (sent - len(answers)), error)
        return Replies(answers)

    def _answer(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:  # an answer: the next one follows it
            return meaning(self.location, error) or StoreFailed(f"{self.location}: {error}")

    @contextmanager
    def _unbroken(self) -> Iterator[None]:
        try:
            with failures(self.location):
                yield
        except BaseException:
            self._connection.disconnect()  # nobody may read what is left on it
            raise


class Reader:
    """One connection for commands that change nothing, each sent before its answer is wanted.

    `breaks` counts how often the connection was lost; the answers before and after may be of two servers.
    """

    def __init__(self, connection: Any, location: str) -> None:
        self._connection, self._location = connection, location
        self._retry = Retry(ExponentialBackoff(cap=5, base=0.2), RETRIES, (StoreUnavailable,))
        self._sent = False
        self.breaks = 0

    def ask(self, command: Sequence[object]) -> None:
        """Send a command; the server works on it until `answer` is called with the same."""
        try:
            self._send(command)
        except StoreUnavailable as error:  # it is sent again when its answer is wanted
            self._reconnect(error)

    def answer(self, command: Sequence[object]) -> Any:
        """Return the answer to a command, sending it as often as it takes, within reason."""
        return self._retry.call_with_retry(lambda: self._answer(command), self._reconnect)

    def run_id(self) -> bytes | None:
        """Return by what the server's process is known, None where it does not say: it is no precondition."""
        try:
            found: bytes = self.answer(("INFO", "server"))
        except StoreDenied:
            return None
        return next((line for line in found.splitlines() if line.startswith(b"run_id:")), None)

    def _answer(self, command: Sequence[object]) -> Any:
        if not self._sent:
            self._send(command)
        self._sent = False
        with failures(self._location):
            return self._connection.read_response()

    def _send(self, command: Sequence[object]) -> None:
        with failures(self._location):
            self._connection.send_command(*command)
        self._sent = True

    def _reconnect(self, _error: Exception) -> None:
        self._connection.disconnect()
        self._sent = False
        self.breaks += 1


def failures(location: str) -> AbstractContextManager[None]:
    """Turn whatever redis-py raises into our errors, which name the server by `location`."""
    return border(location, lambda error: meaning(location, error))
