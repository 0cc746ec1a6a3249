"""Whether a flow takes the parameters that prefect.yaml gives it."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, cast, get_args, get_type_hints

import pydantic
from prefect.blocks.core import Block
from prefect.flows import Flow
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import ValidationError, validate
from pydantic import TypeAdapter

from deployments.templates import fill

REFERENCE = "{$ref: {block_document_slug: <type>/<document>}}"


def references(parameters: Mapping[str, Any]) -> list[str]:
    """List the slugs of the block documents that the parameters refer to."""
    return [ref["block_document_slug"] for value in parameters.values() for ref in _refs(value)]


def parameter_problems(
    flow: Flow[..., Any],
    parameters: Mapping[str, Any],
    types: Mapping[str, type[Block]],
    environ: Mapping[str, str],
    *,
    complete: bool,
) -> Iterator[str]:
    """Find what the flow would refuse, with `$ref` standing for a block of its type and templates filled in.

    Where they need not be `complete`, the form asks for the rest.
    """
    given: dict[str, Any] = {}
    for name, value in parameters.items():
        for ref in _refs(value):
            if problem := _reference_problem(flow, name, ref, types):
                yield f"parameters.{name}: {problem}"
                return
        given[name] = _filled(value, types, environ)
    yield from _refusals(flow, given, complete)


def _refusals(flow: Flow[..., Any], given: Mapping[str, Any], complete: bool) -> Iterator[str]:
    hints = get_type_hints(flow.fn, include_extras=True)
    for name, parameter in inspect.signature(flow.fn).parameters.items():
        if complete and parameter.default is parameter.empty and name not in given:
            yield f"parameters: {name} is required, for a schedule has no one to ask"
    for name, value in given.items():
        if name not in hints:
            yield f"parameters: {flow.name} has no parameter {name}"
            continue
        try:
            TypeAdapter(hints[name]).validate_python(value)
        except pydantic.ValidationError as error:
            yield f"parameters.{name}: {error.errors()[0]['msg']}"


def server_problems(flow: Flow[..., Any], parameters: Mapping[str, Any]) -> Iterator[str]:
    """Find what a server that enforces the parameter schema would refuse when it updates or runs the deployment.

    Prefect 3.8 allows a block reference beside the block's own schema, with `oneOf`: a reference to a block that
    accepts any key, as they all do, is both and so refused. It files the two under the schema's title, though, and
    looks them up by the class's name; a block class whose title is not its name is not affected.
    """
    schema = cast("Any", parameter_schema(flow).model_dump_for_openapi())
    given = {name: value for name, value in parameters.items() if _refs(value)}
    try:
        validate(given, schema, raise_on_error=True, ignore_required=True)
    except ValidationError:
        yield (
            f"parameters: Prefect would refuse {', '.join(given)} at the next deploy (409): give the block's class "
            "another title than its name, `class X(CredentialsBlock, title=…)`, or set enforce_parameter_schema: false"
        )


def _refs(value: object) -> list[Any]:
    """Give what a parameter refers to: one block, or each of a list."""
    if isinstance(value, list):
        return [ref for one in value for ref in _refs(one)]
    return [value["$ref"]] if isinstance(value, dict) and "$ref" in value else []


def _type_of(ref: Mapping[str, str]) -> str:
    return ref["block_document_slug"].partition("/")[0]


def _reference_problem(flow: Flow[..., Any], name: str, ref: object, types: Mapping[str, type[Block]]) -> str | None:
    if not (isinstance(ref, dict) and set(ref) == {"block_document_slug"}):
        return f"write a block as {REFERENCE}"
    slug = ref["block_document_slug"]
    if not (isinstance(slug, str) and all(slug.partition("/"))):
        return f"write a block as {REFERENCE}"
    if _type_of(ref) not in types:
        return f"no block type {_type_of(ref)}; there is {', '.join(sorted(types)) or 'none'}"
    takes = _block_types_of(get_type_hints(flow.fn).get(name))
    if types[_type_of(ref)] not in takes:
        return f"{flow.name} takes no {_type_of(ref)} here"
    return None


def _block_types_of(annotation: object) -> list[object]:
    return [annotation, *(arg for part in get_args(annotation) for arg in _block_types_of(part))]


def _filled(value: Any, types: Mapping[str, type[Block]], environ: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_filled(one, types, environ) for one in value]
    if refs := _refs(value):
        return types[_type_of(refs[0])].model_construct()
    if not isinstance(value, str):
        return value
    return fill(value, environ)
