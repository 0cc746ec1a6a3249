"""A Redis hash as a store: scanned in bounded replies, changed by one compare-and-set script per batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import Final

from redis import Redis

from tasks.changes.errors import ScanBroken, StewardError, StoreDenied, StoreError
from tasks.changes.protocols import Action, Identity, Image, Key, Outcome, foreseen
from tasks.stores.redis_identity import identity_of
from tasks.stores.redis_talk import Reader, Replies, Talk

REPLY_BYTES: Final = 1 << 20
MOST_FIELDS: Final = 1000
BATCH: Final = 1000
SCRIPT_FIELDS: Final = 100
"""So few that a script holds up other clients for less than a millisecond, and stays in the processor's cache."""

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
    """Return an image as redis-py takes it; raise StoreDenied where it is none of a field."""
    if not isinstance(image, bytes | str):
        message = f"A field of a Redis hash holds bytes, not {type(image).__name__}: this is a plan for another store."
        raise StoreDenied(message)
    return image


def _raw(image: Image | None) -> bytes | None:
    """Return an image as Redis answers with it."""
    if image is None:
        return None
    image = as_bytes(image)
    return image if isinstance(image, bytes) else image.encode()


def parts_of(actions: Iterable[Action]) -> Iterator[list[Action]]:
    """Yield the actions that one script takes: neighbours of the same kind."""
    for _, same in groupby(actions, kind_of):
        while part := list(islice(same, SCRIPT_FIELDS)):
            yield part


def outcomes_in(replies: Replies, parts: Sequence[Sequence[Action]]) -> list[Outcome]:
    """Return the outcomes of all actions.

    Raises what kept a script from its end, with the outcomes that are known. A script is refused as a whole.
    """
    error = next((answer for answer in replies.answers if isinstance(answer, StewardError)), replies.broken)
    if error is None:
        return [OUTCOMES[code] for answer in replies.answers for code in answer]
    if isinstance(error, StoreError):
        scripts = list(zip(parts, replies.answers, strict=True))
        error.outcomes = {
            action.key: OUTCOMES[code]
            for part, answer in scripts
            if isinstance(answer, bytes)
            for action, code in zip(part, answer, strict=True)
        }
        error.untouched = {
            action.key for part, answer in scripts if isinstance(answer, StewardError) for action in part
        }
    raise error


class RedisHash:
    """The fields of one Redis hash: the key of a record is its field, its value and image are its bytes."""

    batch_size = BATCH
    undoable = True

    def __init__(self, client: Redis, server: str, hash_key: str) -> None:
        """Open the hash `hash_key` of a server; `server` names it without secrets."""
        self.location = f"{server}#{hash_key}"
        self.hash_key = hash_key
        self._talk = Talk(client, self.location)

    def now(self) -> datetime:
        """Give the server's time."""
        seconds, micros = self._talk.read("TIME")
        return datetime.fromtimestamp(int(seconds) + int(micros) / 1e6, UTC)

    def count(self) -> int:
        """Give the number of fields.

        Raises StoreDenied where something else than a hash stands under the key.
        """
        self.exists()
        return int(self._talk.read("HLEN", self.hash_key))

    def exists(self, key: str | None = None) -> bool:
        """Say whether this hash, or another key's, is there; raises StoreDenied where it is no hash."""
        key = key or self.hash_key
        kind: str = self._talk.read("TYPE", key).decode()
        if kind not in ("hash", "none"):
            message = f"{key} on {self.location} is a {kind}, not a hash; it was left alone. Give another --hash-key."
            raise StoreDenied(message)
        return kind == "hash"

    def scan(self) -> Iterator[Sequence[tuple[Key, bytes]]]:
        """Read all fields in replies of about 1 MiB and at most 1000 fields, so that other clients get their turn.

        The server works on the next reply while the caller works on the last. Raises ScanBroken where the connection
        was lost, unless the server shows to be the same process: a cursor means nothing to another; and where another
        hash took the place of this one.
        """
        seen, fields, page = 0, 1, ("HSCAN", self.hash_key, b"0", "COUNT", 1)
        with self._talk.reading() as reader:
            run_id, breaks = reader.run_id(), reader.breaks
            first = self._length(reader)
            while True:
                cursor, found = reader.answer(page)
                if reader.breaks != breaks:
                    breaks = reader.breaks
                    self._check_same(reader, run_id)
                values = found[1::2]
                if values:
                    seen += len(values)
                    average = sum(map(len, values)) // len(values) + 1
                    fields = max(1, min(MOST_FIELDS, 4 * fields, REPLY_BYTES // average))
                page = ("HSCAN", self.hash_key, cursor, "COUNT", fields)
                if cursor != b"0":
                    reader.ask(page)
                else:
                    self._check_whole(reader, run_id, first, seen)
                if values:
                    yield list(zip(found[::2], values, strict=True))
                if cursor == b"0":
                    return

    def _length(self, reader: Reader) -> int:
        return int(reader.answer(("HLEN", self.hash_key)))

    def _check_whole(self, reader: Reader, run_id: bytes | None, first: int, seen: int) -> None:
        """Raise ScanBroken where the hash was not there all along: one that was renamed seems to be at its end.

        Fields come and go meanwhile, but so many were there at the beginning and at the end that half must be seen.
        """
        last = self._length(reader)
        if (first and not last) or 2 * seen < min(first, last):
            message = f"{self.location} was removed, renamed or filled anew while it was read."
            raise ScanBroken(message)
        if run_id:  # a proxy may have changed servers without a break
            self._check_same(reader, run_id)

    def _check_same(self, reader: Reader, run_id: bytes | None) -> None:
        breaks = reader.breaks
        found = reader.run_id()
        if run_id is None or found != run_id or reader.breaks != breaks:
            message = f"{self.location} was restarted or replaced, or its connection lost, while it was read."
            raise ScanBroken(message)

    def image(self, value: bytes) -> bytes:
        """Give the value itself: undo puts back the exact bytes."""
        return value

    def weigh(self, image: Image) -> int:
        """Give the value's bytes."""
        image = as_bytes(image)
        return len(image) if isinstance(image, bytes) else len(image.encode())

    def apply(self, actions: Sequence[Action]) -> list[Outcome]:
        """Change the fields that still hold their before-images, in scripts of at most 100 fields."""
        return self.begin(actions)()

    def begin(self, actions: Sequence[Action]) -> Callable[[], list[Outcome]]:
        """Send the scripts; the result waits for their outcomes."""
        parts = list(parts_of(actions))
        replies = self._talk.send([self._script(kind_of(part[0]), part) for part in parts])
        return lambda: outcomes_in(replies(), parts)

    def identity(self) -> Identity:
        """Return what the server calls itself."""
        return identity_of(self._talk.read)

    def preview(self, actions: Sequence[Action]) -> list[Outcome | None]:
        """Return what the scripts would come to, from the fields as they are now."""
        parts = (actions[at : at + SCRIPT_FIELDS] for at in range(0, len(actions), SCRIPT_FIELDS))
        values = [
            one for part in parts for one in self._talk.read("HMGET", self.hash_key, *(as_bytes(a.key) for a in part))
        ]
        return [
            foreseen(stands, _raw(one.before), _raw(one.after)) for one, stands in zip(actions, values, strict=True)
        ]

    def holds(self, keys: Sequence[Key]) -> list[bool]:
        """Return whether each field is there, by a command that every run may use already."""
        return [value is not None for value in self._talk.read("HMGET", self.hash_key, *map(as_bytes, keys))]

    def _script(self, kind: str, actions: list[Action]) -> list[object]:
        script: list[object] = [
            "EVAL",
            CHANGE,
            1,
            self.hash_key,
            kind,
            len(actions),
            *(as_bytes(one.key) for one in actions),
        ]
        if kind != "put":
            script += [as_bytes(one.before) for one in actions]
        if kind != "remove":
            script += [as_bytes(one.after) for one in actions]
        return script
