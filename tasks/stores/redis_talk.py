"""Talking to Redis: commands sent ahead of their answers, reads repeated, failures said in our words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004  # redis-py's own name
    RedisError,
    TimeoutError,  # noqa: A004  # redis-py's own name
)
from redis.retry import Retry

from tasks.changes.errors import StoreDenied, StoreUnavailable

RETRIES: Final = 3


class Talk:
    """A server, and how commands are sent to it; `location` names it in messages, without secrets."""

    def __init__(self, client: Redis, location: str) -> None:
        self.location = location
        self._connect = client.connection_pool.make_connection
        self._connection: Any = self._connect()  # its socket opens with the first command

    def read(self, *command: object) -> Any:
        """Send a command that changes nothing and give its answer; where the connection breaks, send it again."""
        return Reader(self._connection, self.location).answer(command)

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """Open a connection on which commands are sent before their answers are wanted."""
        connection: Any = self._connect()
        try:
            yield Reader(connection, self.location)
        finally:
            connection.disconnect()

    def send(self, commands: Iterable[Sequence[object]]) -> Callable[[], list[Any]]:
        """Send commands, none of them twice, the server working on one while the next is packed.

        Returns a function that waits for their answers. After an exception each may have been carried out or not.
        """
        sent = 0
        with self._unbroken():
            for command in commands:
                self._connection.send_command(*command)
                sent += 1

        def answers() -> list[Any]:
            with self._unbroken():
                return [self._connection.read_response() for _ in range(sent)]

        return answers

    @contextmanager
    def _unbroken(self) -> Iterator[None]:
        try:
            with failures(self.location):
                yield
        except BaseException:
            self._connection.disconnect()  # nobody may read what is left on it
            raise


class Reader:
    """One connection for commands that change nothing, each sent before its answer is wanted."""

    def __init__(self, connection: Any, location: str) -> None:
        self._connection, self._location = connection, location
        self._retry = Retry(ExponentialBackoff(cap=5, base=0.2), RETRIES, (StoreUnavailable,))
        self._sent = False

    def ask(self, command: Sequence[object]) -> None:
        """Send a command; the server works on it until `answer` is called with the same."""
        try:
            self._send(command)
        except StoreUnavailable as error:  # it is sent again when its answer is wanted
            self._reconnect(error)

    def answer(self, command: Sequence[object]) -> Any:
        """Give the answer to a command, sending it as often as it takes, within reason."""
        return self._retry.call_with_retry(lambda: self._answer(command), self._reconnect)

    def _answer(self, command: Sequence[object]) -> Any:
        if not self._sent:
            self._send(command)
        with failures(self._location):
            answer = self._connection.read_response()
        self._sent = False
        return answer

    def _send(self, command: Sequence[object]) -> None:
        with failures(self._location):
            self._connection.send_command(*command)
        self._sent = True

    def _reconnect(self, _error: Exception) -> None:
        self._connection.disconnect()
        self._sent = False


@contextmanager
def failures(location: str) -> Iterator[None]:
    """Say what a Redis error means for the operator."""
    try:
        yield
    except AuthenticationError as error:
        message = f"{location} refuses the user or password: {_said(error)}. Correct the URL or the block."
        raise StoreDenied(message) from error
    except (BusyLoadingError, ConnectionError, TimeoutError) as error:
        message = f"{location} does not answer: {_said(error)}. What was done so far stands; run the command again."
        raise StoreUnavailable(message) from error
    except RedisError as error:
        message = f"{location} refuses the command: {_said(error)}. What was done so far stands."
        raise StoreDenied(message) from error


def _said(error: RedisError) -> str:
    return str(error).rstrip(".")
