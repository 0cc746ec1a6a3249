"""The parameters that jobs share: the form in the UI, the keys in prefect.yaml, the options of the command."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator


@dataclass(frozen=True)
class Described:
    """What a parameter means, in the form and on the command; Prefect 3.8 drops the description of a pydantic Field."""

    text: str

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(core_schema), "description": self.text}


UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(value: object, otherwise: ValidatorFunctionWrapHandler) -> timedelta:
    """Turn text such as `36h`, `1d12h` or `0s` into a timedelta; what has another form goes to pydantic."""
    try:
        if isinstance(value, str) and re.fullmatch(r"(\d+[smhdw])+", value):
            return timedelta(**{UNITS[unit]: int(number) for number, unit in re.findall(r"(\d+)([smhdw])", value)})
        found: timedelta = otherwise(value)
    except OverflowError as error:
        message = f"{value} is too long"
        raise ValueError(message) from error
    except ValidationError as error:
        message = f"{value!r} is no duration such as 36h or 7d"
        raise ValueError(message) from error
    return found


Duration = Annotated[
    timedelta,
    WrapValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": r"^((\d+[smhdw])+|P[\dA-Z.]+)$", "examples": ["36h", "7d"]}),
]

DryRun = Annotated[bool, Described("Only plan and report; change nothing.")]
Approve = Annotated[
    bool, Described("Pause with the plan's summary and go on only once somebody approved that very plan.")
]
MAX_FRACTION = (
    "Refuse a plan that changes more than this part of the records that the job could have changed, "
    "or of a group of them (a folder, a schema) in which 20 or more would change."
)
MaxFraction = Annotated[float, Field(ge=0, le=1), Described(MAX_FRACTION)]
MaxChanges = Annotated[int | None, Field(ge=0, le=10**15), Described("Refuse a plan of more changes than this.")]
Plans = Annotated[
    str | None,
    Described(
        "Where plans are kept: a folder, or block:TYPE/NAME for a Prefect file system block. "
        "Without it: $STEWARD_PLANS, or steward/plans in the user's data folder."
    ),
]
HASH = r"^[0-9a-fA-F]{16,64}$"


def check_hash(value: str | None) -> str | None:
    """Return what was given if it is a plan's hash, or enough of one; raises ValueError."""
    if value is not None and not re.fullmatch(HASH, value):
        message = f"{value!r} is not 16 to 64 hex digits of the plan's hash; the 8 in its name are too few"
        raise ValueError(message)
    return value


PlanHash = Annotated[
    str | None,
    AfterValidator(check_hash),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": HASH}, {"type": "null"}]}),
    Described("Refuse the plan unless this is its hash (a report's plan_hash), or the hash's first 16 digits or more."),
]
OtherStore = Annotated[
    bool,
    Described(
        "Go on though the store is not the one that the plan was made for, or holds less than half of what it should."
    ),
]
PlanRef = Annotated[str, Field(min_length=1), Described("A plan file, or the name of one in the plan store.")]
