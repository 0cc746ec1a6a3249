"""A flow as a command: its options are made from the flow's own signature."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args, get_origin

from cyclopts import Parameter, Token
from prefect import Flow
from prefect.blocks.core import Block
from pydantic import TypeAdapter, ValidationError

from blocks.errors import UnusableCredentials
from tasks.changes.errors import BadInput
from tasks.changes.options import Described

JSON = Parameter(help="Print the report as one JSON object on stdout.", negative="", show_default=False)
VERBOSE = Parameter(help="Show Prefect's log on stderr.", negative="", show_default=False)


def signature_of(flow: Flow[..., Any], *, live: bool) -> inspect.Signature:
    """Give the command's signature: parameters without a default are positional, the rest are options.

    `live` commands act unless told --dry-run; the others plan unless told --apply.
    """
    hints = typing.get_type_hints(flow.fn, include_extras=True)
    own = inspect.signature(flow.fn).parameters.values()
    parameters = [_parameter(one, hints[one.name], live=live) for one in own]
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters.append(inspect.Parameter("json", keyword, default=False, annotation=Annotated[bool, JSON]))
    parameters.append(inspect.Parameter("verbose", keyword, default=False, annotation=Annotated[bool, VERBOSE]))
    return inspect.Signature(parameters)


def _parameter(own: inspect.Parameter, hint: Any, *, live: bool) -> inspect.Parameter:
    if own.name == "dry_run" and not live:
        help_ = "Make the changes; without it the command only plans."
        shown = Annotated[bool, Parameter(name="--apply", help=help_, negative="", show_default=False)]
        return inspect.Parameter("dry_run", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=shown)
    if own.name == "dry_run":
        own = own.replace(default=False)
    required = own.default is own.empty
    kind = inspect.Parameter.POSITIONAL_ONLY if required else inspect.Parameter.KEYWORD_ONLY
    return own.replace(kind=kind, annotation=_annotation(own, hint))


def _annotation(own: inspect.Parameter, hint: Any) -> Any:
    base, help_ = _described(hint)
    blocks = blocks_in(base)
    if blocks:
        help_ = f"{help_} {' or '.join(block.takes for block in blocks)}"
        return Annotated[str, Parameter(name=own.name.upper(), help=help_)]
    if base is bool or get_origin(base) is list:
        return Annotated[base, Parameter(help=help_, negative="", show_default=bool(own.default))]
    converter = _converter(own.name.upper(), hint)
    return Annotated[Any, Parameter(help=help_, converter=converter, show_default=bool(own.default))]


def _described(hint: Any) -> tuple[Any, str]:
    """Take a parameter's plain type and its description out of its annotation."""
    if get_origin(hint) is not Annotated:
        return hint, ""
    base, *extras = get_args(hint)
    return base, next((one.text for one in extras if isinstance(one, Described)), "")


def blocks_in(base: Any) -> list[Any]:
    """Give the block types among a parameter's types."""
    options = get_args(base) if get_origin(base) in (typing.Union, types.UnionType) else (base,)
    return [one for one in options if inspect.isclass(one) and issubclass(one, Block)]


def _converter(name: str, hint: Any) -> Callable[[Any, Sequence[Token]], Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(hint)

    def convert(_type: Any, tokens: Sequence[Token]) -> Any:
        try:
            return adapter.validate_python(tokens[0].value)
        except ValidationError as error:
            place = "" if tokens[0].keyword else f"Invalid value for {name}: "  # cyclopts names options only
            raise ValueError(place + error.errors()[0]["msg"]) from error

    return convert


def arguments_of(flow: Flow[..., Any], given: dict[str, Any], *, live: bool) -> dict[str, Any]:
    """Turn what the command line gave into the flow's parameters.

    Raises BadInput where a store cannot be opened from the text given.
    """
    hints = typing.get_type_hints(flow.fn, include_extras=True)
    arguments = dict(given)
    if "dry_run" in hints:  # what was not said is not in `given`, and the flow's default is not the command's
        said = given.get("dry_run", False)
        arguments["dry_run"] = said if live else not said
    for name, value in given.items():
        if blocks := blocks_in(_described(hints[name])[0]):
            arguments[name] = _block(blocks, name, value)
    return arguments


def _block(blocks: list[Any], name: str, text: str) -> Block:
    for block in blocks:
        try:
            made: Block = block.from_argument(text)
        except ValueError:  # it has the form of another block's
            continue
        except UnusableCredentials as error:
            message = f"{name.upper()}: {error}"
            raise BadInput(message) from error
        return made
    message = f"{name.upper()} has not the form {' or '.join(block.takes for block in blocks)}."
    raise BadInput(message)
