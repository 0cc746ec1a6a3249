"""How Datashare's typed mapper says the Java classes of values, and how to take that off.

It writes an object with its class (`@type`, before 18.0 `@class`), and a list, date or path as a pair of both.
The plain mapper does so only for each value right under `args`, for a result's value and for an error.
"""

from __future__ import annotations

import re
from typing import Any, Final

from tasks.datashare.edits import rename

CLASSES: Final = ("java.", "org.icij.", "sun.nio.", "[L")
"""How the names of all classes begin that the mappers allow; a user's own `@type` hardly does."""

# What Datashare reads as an argument since 20.11: subclasses of a few of Java's, and its own. Which of Java's classes
# are subclasses of which is known to Java only; these are those that it can make.
READ: Final = re.compile(
    r"org\.icij\.(?:datashare|extract)\..+|\[L(?:java\.(?:lang|util)|org\.icij)\..+"
    r"|java\.lang\.(?:String|Boolean|Number|Byte|Short|Integer|Long|Float|Double)|java\.math\.Big(?:Integer|Decimal)"
    r"|java\.util\.concurrent\.atomic\.(?:AtomicInteger|AtomicLong|LongAdder|DoubleAdder)"
    r"|java\.util\.(?!BitSet$)(?:[\w$]|concurrent\.|jar\.)*"
    r"(?:Map[1N]?|(?:List|Set)(?:12|N)?|Collection|Queue|Deque|Vector|Stack|Hashtable|Properties|Attributes)"
    r"|java\.util\.Date|java\.sql\.(?:Date|Time|Timestamp)|java\.net\.URI|java\.nio\.file\.Path"
    r"|java\.nio\.charset\.Charset|java\.[\w.$]+(?:Exception|Error|Throwable)"
    r"|java\.util\.concurrent\.TimeUnit|java\.util\.Locale\$Category|java\.time\.(?:DayOfWeek|Month)"
    r"|java\.time\.temporal\.Chrono(?:Unit|Field)|java\.math\.RoundingMode|java\.net\.StandardProtocolFamily"
    r"|java\.nio\.file\.(?:AccessMode|FileVisitOption|LinkOption|StandardCopyOption|StandardOpenOption)"
    r"|java\.nio\.file\.attribute\.PosixFilePermission"
).fullmatch
KINDS: Final = ("byte", "short", "int", "float", "double", "char")
ARRAYS: Final = {f"[{kind[0].upper()}": f"{kind}[]" for kind in KINDS} | {"[J": "long[]", "[Z": "boolean[]"}
"""What Java calls the arrays whose classes it writes so."""


def check_argument_classes(args: dict[str, Any]) -> None:
    """Raise ValueError where an argument is of a class that Datashare no longer reads."""
    for argument, value in args.items():
        name = _class_of(value)
        if name is not None and not READ(name.partition("<")[0]):
            message = f"its argument {argument} is of the class {ARRAYS.get(name, name)}, which Datashare does not read"
            raise ValueError(message)


def _class_of(value: Any) -> str | None:
    """Return the class that an argument's value says it has, None for plain data."""
    if isinstance(value, dict):
        name = value.get("@type")
        return name if isinstance(name, str) else None
    pair = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)
    return value[0] if pair and value[0].startswith((*CLASSES, "[")) else None


def is_class(name: Any) -> bool:
    """Whether a value is the name of a Java class that the mappers allow."""
    return isinstance(name, str) and name.startswith(CLASSES)


def untyped(value: Any, marker: str = "@type") -> Any:
    """Take the classes off a value and all that is in it, in place; user data that only looks so stays."""
    kind = type(value)
    if kind is dict:
        if is_class(value.get(marker)):
            del value[marker]
        return _untyped_inside(value, marker)
    if kind is list:
        if len(value) == 2 and is_class(value[0]):
            value = value[1]
            if type(value) is not list:
                return untyped(value, marker)
        return _untyped_inside(value, marker)
    return value


def _untyped_inside(value: Any, marker: str) -> Any:
    for key, one in value.items() if type(value) is dict else enumerate(value):
        kind = type(one)
        if kind is dict or kind is list:
            value[key] = untyped(one, marker)
    return value


def typed_outside(value: Any, marker: str = "@type") -> Any:
    """Leave a value its own class, as `@type`, and take off those of what is in it, in place. Raises Clash."""
    if type(value) is dict:
        if marker != "@type" and is_class(value.get(marker)):
            rename(value, marker, "@type")
        return _untyped_inside(value, marker)
    if type(value) is list:
        if len(value) == 2 and is_class(value[0]):
            if type(value[1]) is list:
                _untyped_inside(value[1], marker)
            return value
        return _untyped_inside(value, marker)
    return value


def check_fully_typed(value: Any, path: str) -> None:
    """Raise ValueError where an object or a list does not say its class: the typed mapper then fails."""
    if isinstance(value, dict):
        _check_class(value.get("@type"), path)
        for key, one in value.items():
            check_fully_typed(one, f"{path}.{key}")
    elif isinstance(value, list):
        _check_class(value[0] if len(value) == 2 else None, path)
        for one in value[1] if isinstance(value[1], list) else ():
            check_fully_typed(one, f"{path}[]")


def _check_class(name: Any, path: str) -> None:
    if not is_class(name):
        message = f"{path} does not say its Java class"
        raise ValueError(message)
