"""A Redis hash as a store: scanned in bounded replies, changed by one compare-and-set script per batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
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
from tasks.changes.protocols import Action, Image, Key, Outcome

REPLY_BYTES: Final = 1 << 20
MOST_FIELDS: Final = 1000
BATCH: Final = 200

# ARGV: the kind, the number of fields, the fields, then their before-images, then their after-images; a put
# has no before-images and a removal no after-images. In Lua `false` is an absent field, from HMGET as here.
CHANGE: Final = """
local kind, n = ARGV[1], tonumber(ARGV[2])
local before = kind ~= 'put' and 2 + n
local after = kind ~= 'remove' and (before or 2) + n
local stands = redis.call('HMGET', KEYS[1], unpack(ARGV, 3, 2 + n))
local outcomes, gone, written = {}, {}, {}
for i = 1, n do
  local was = before and ARGV[before + i]
  local shall = after and ARGV[after + i]
  if stands[i] == was then
    outcomes[i] = 'D'
    if shall then
      written[#written + 1] = ARGV[2 + i]
      written[#written + 1] = shall
    else
      gone[#gone + 1] = ARGV[2 + i]
    end
  elseif stands[i] == shall then
    outcomes[i] = 'A'
  else
    outcomes[i] = 'C'
  end
end
if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
if #written > 0 then redis.call('HSET', KEYS[1], unpack(written)) end
return table.concat(outcomes)
"""
OUTCOMES: Final = {ord("D"): Outcome.DONE, ord("A"): Outcome.ALREADY, ord("C"): Outcome.CONFLICT}


def kind_of(action: Action) -> str:
    """Say which of the script's three forms an action takes."""
    if action.before is None:
        return "put"
    return "remove" if action.after is None else "replace"


def as_bytes(image: Image | None) -> bytes | str:
    """Give an image as redis-py takes it."""
    if not isinstance(image, bytes | str):
        message = f"A field of a Redis hash holds bytes, not {type(image).__name__}."
        raise TypeError(message)
    return image


class RedisHash:
    """The fields of one Redis hash: the key of a record is its field, its value and image are its bytes."""

    batch_size = BATCH
    undoable = True

    def __init__(self, client: Redis, server: str, hash_key: str) -> None:
        """Open the hash `hash_key` of a server; `server` names it without secrets."""
        self.location = f"{server}#{hash_key}"
        self.hash_key = hash_key
        self._client = client
        self._change = client.register_script(CHANGE)
        self._reading = Retry(ExponentialBackoff(cap=5, base=0.2), 3, (StoreUnavailable,))

    def now(self) -> datetime:
        """Give the server's time."""
        seconds, micros = self._read("TIME")
        return datetime.fromtimestamp(int(seconds) + int(micros) / 1e6, UTC)

    def count(self) -> int:
        """Give the number of fields.

        Raises StoreDenied where something else than a hash stands under the key.
        """
        self.exists()
        return int(self._read("HLEN", self.hash_key))

    def exists(self, key: str | None = None) -> bool:
        """Say whether this hash, or another key's, is there; raises StoreDenied where it is no hash."""
        key = key or self.hash_key
        kind: str = self._read("TYPE", key).decode()
        if kind not in ("hash", "none"):
            message = f"{key} on {self.location} is a {kind}, not a hash; it was left alone. Give another --hash-key."
            raise StoreDenied(message)
        return kind == "hash"

    def scan(self) -> Iterator[Sequence[tuple[Key, bytes]]]:
        """Read all fields in replies of about 1 MiB and at most 1000 fields, so that other clients get their turn."""
        cursor, fields = 0, 1
        while True:
            cursor, found = self._read("HSCAN", self.hash_key, cursor, "COUNT", fields)
            if found:
                yield list(found.items())
                average = sum(map(len, found.values())) // len(found) + 1
                fields = max(1, min(MOST_FIELDS, 4 * fields, REPLY_BYTES // average))
            if not cursor:
                return

    def image(self, value: bytes) -> bytes:
        """Give the value itself: undo puts back the exact bytes."""
        return value

    def weigh(self, image: Image) -> int:
        """Give the value's bytes."""
        image = as_bytes(image)
        return len(image) if isinstance(image, bytes) else len(image.encode())

    def apply(self, actions: Sequence[Action]) -> list[Outcome]:
        """Change the fields that still hold their before-images, one script call per kind of action."""
        outcomes: list[Outcome] = []
        for kind, same in groupby(actions, kind_of):
            outcomes += self._call(kind, list(same))
        return outcomes

    def _call(self, kind: str, actions: list[Action]) -> list[Outcome]:
        arguments: list[Any] = [kind, len(actions), *(as_bytes(one.key) for one in actions)]
        if kind != "put":
            arguments += [as_bytes(one.before) for one in actions]
        if kind != "remove":
            arguments += [as_bytes(one.after) for one in actions]
        with failures(self.location):
            answer: bytes = self._change(keys=[self.hash_key], args=arguments)
        return [OUTCOMES[code] for code in answer]

    def _read(self, *command: object) -> Any:
        """Send a command that changes nothing, again where the connection broke."""

        def send() -> Any:
            with failures(self.location):
                return self._client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py

        def reconnect(_error: Exception) -> None:
            self._client.connection_pool.disconnect()

        return self._reading.call_with_retry(send, reconnect)


@contextmanager
def failures(location: str) -> Iterator[None]:
    """Say what a Redis error means for the operator."""
    try:
        yield
    except AuthenticationError as error:
        message = f"{location} refuses the user or password: {error}. Correct the URL or the block."
        raise StoreDenied(message) from error
    except (BusyLoadingError, ConnectionError, TimeoutError) as error:
        message = f"{location} does not answer: {error}. What was done so far stands; run the command again."
        raise StoreUnavailable(message) from error
    except RedisError as error:
        message = f"{location} refuses the command: {error}. What was done so far stands."
        raise StoreDenied(message) from error
