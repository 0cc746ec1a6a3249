"""A flow as a command: its options are made from the flow's own signature."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from cyclopts import Parameter, Token
from prefect import Flow
from prefect.blocks.core import Block
from pydantic import TypeAdapter, ValidationError

from blocks.errors import UnusableCredentials, said
from flows.jobs import Reader
from flows.masking import without_secrets
from flows.named_stores import BLOCK, FORMS, VARIABLE, load_block, typed_or_held
from tasks.changes.errors import BadInput
from tasks.changes.options import Described

JSON = Parameter(help="Print the report as one JSON object on stdout.", negative="", show_default=False)
VERBOSE = Parameter(help="Show Prefect's log on stderr.", negative="", show_default=False)
LOG_FILE = Parameter(help="Write the log to this file too.")
LOG_LEVEL = Parameter(help="From which level on: DEBUG, INFO, WARNING or ERROR.")


def signature_of(
    flow: Flow[..., Any], *, live: bool, reader: Reader | None = None, in_file: Collection[str] = ()
) -> inspect.Signature:
    """Give the command's signature: parameters without a default are positional, the rest are options.

    `live` commands act unless told --dry-run, and so do those whose flow does; the others plan unless told --apply.
    Where a `reader` takes parameters from a file, the command has its options in place of those that are `in_file`.
    """
    hints = typing.get_type_hints(flow.fn, include_extras=True)
    own = [one for one in inspect.signature(flow.fn).parameters.values() if one.name not in in_file]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [
            *([one.replace(kind=keyword) for one in parameters_of(reader)] if reader else []),
            *(_parameter(one, hints[one.name], live=live) for one in own),
            inspect.Parameter("json", keyword, default=False, annotation=Annotated[bool, JSON]),
            inspect.Parameter("verbose", keyword, default=False, annotation=Annotated[bool, VERBOSE]),
            inspect.Parameter("log_file", keyword, default=None, annotation=Annotated[str | None, LOG_FILE]),
            inspect.Parameter("log_level", keyword, default="WARNING", annotation=Annotated[str, LOG_LEVEL]),
        ]
    )


def parameters_of(reader: Reader) -> list[inspect.Parameter]:
    """Give a reader's parameters, whose annotations are those of options already."""
    return list(inspect.signature(reader, eval_str=True).parameters.values())


def runs_of(flow: Flow[..., Any], given: dict[str, Any], reader: Reader | None, *, live: bool) -> list[dict[str, Any]]:
    """Turn what the command line gave into the flow's parameters, for each of its runs.

    Raises BadInput where a store cannot be opened from the text given, or a file not be read.
    """
    if reader is None:
        return [arguments_of(flow, given, live=live)]
    asked = {one.name: given.pop(one.name) for one in parameters_of(reader) if one.name in given}
    said = arguments_of(flow, given, live=live)
    return [run | said for run in reader(**asked)]


def store_given(flow: Flow[..., Any], given: Mapping[str, Any], reader: Reader | None) -> str:
    """Return what the command line names its store by, or the file that says where it is, without secrets."""
    if reader:
        file = parameters_of(reader)[0]
        return str(given.get(file.name, file.default))
    hints = typing.get_type_hints(flow.fn, include_extras=True)
    named = (str(text) for name, text in given.items() if name in hints and blocks_in(_described(hints[name])[0]))
    return without_secrets(next(named, "STORE"))


def _parameter(own: inspect.Parameter, hint: Any, *, live: bool) -> inspect.Parameter:
    if own.name == "dry_run" and not live and own.default:
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
    if blocks_in(base):
        help_ = f"{help_} {forms_of(base)}"
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


def options_of(base: Any) -> tuple[Any, ...]:
    """Give a parameter's types."""
    return get_args(base) if get_origin(base) in (typing.Union, types.UnionType) else (base,)


def blocks_in(base: Any) -> list[Any]:
    """Give the block types among a parameter's types."""
    return [one for one in options_of(base) if inspect.isclass(one) and issubclass(one, Block)]


def forms_of(base: Any) -> str:
    """Say what a parameter that takes blocks is written as."""
    forms = [block.takes for block in blocks_in(base)]
    return " or ".join([*forms, *(["a path"] if str in options_of(base) else []), FORMS])


def _converter(name: str, hint: Any) -> Callable[[Any, Sequence[Token]], Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(hint)

    def convert(_type: Any, tokens: Sequence[Token]) -> Any:
        try:
            return adapter.validate_python(tokens[0].value)
        except ValidationError as error:
            place = "" if tokens[0].keyword else f"Invalid value for {name}: "  # cyclopts names options only
            raise ValueError(place + said(error.errors()[0])) from error

    return convert


def arguments_of(flow: Flow[..., Any], given: dict[str, Any], *, live: bool) -> dict[str, Any]:
    """Turn what the command line gave into the flow's parameters.

    Raises BadInput where a store cannot be opened from the text given.
    """
    hints = typing.get_type_hints(flow.fn, include_extras=True)
    arguments = dict(given)
    if "dry_run" in hints:  # what was not said is not in `given`, and the flow's default is not the command's
        said = given.get("dry_run", False)
        acts = live or not inspect.signature(flow.fn).parameters["dry_run"].default
        arguments["dry_run"] = said if acts else not said
    for name, value in given.items():
        base = _described(hints[name])[0]
        if blocks_in(base):
            arguments[name] = _opened(base, name, value)
    return arguments


def _opened(base: Any, name: str, text: str) -> Block | str:
    try:
        return _store_named(base, typed_or_held(text))
    except (BadInput, UnusableCredentials) as error:
        message = f"{name.upper()}: {error}"
        raise BadInput(message) from error
    except ValueError as error:
        held = f": what {text} holds" if text.startswith(VARIABLE) else ""
        message = f"{name.upper()}{held} has not the form {forms_of(base)}."
        raise BadInput(message) from error


def _store_named(base: Any, text: str) -> Block | str:
    """Make or load the block that a text is about; raises ValueError where it has no form of one."""
    if text.startswith(BLOCK):
        return load_block(text, blocks_in(base))
    for block in blocks_in(base):
        with suppress(ValueError):  # it has the form of another block's
            made: Block = block.from_argument(text)
            return made
    if str in options_of(base) and Path(text).exists():
        return str(Path(text).absolute())
    raise ValueError
