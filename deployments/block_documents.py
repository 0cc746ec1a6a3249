"""Block documents from environment variables: `STEWARD_BLOCK__<TYPE>__<DOCUMENT>__<FIELD>=value`."""

import importlib
import json
import pkgutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from inspect import isabstract
from types import ModuleType
from typing import Any, cast
from uuid import UUID

from prefect.blocks.core import Block
from pydantic import HttpUrl, SecretStr, ValidationError

import blocks
from blocks.checked_credentials import CheckedCredentials
from deployments.api import ui_url
from deployments.errors import BadBlockVariable
from deployments.leaks import has_password

PREFIX = "STEWARD_BLOCK__"
# The server's own, so that it needs no internet. Prefect's client takes no data: URL, and its pages show a broken
# picture where a type has none.
LOGO = "ico/android-chrome-192x192.png"
TEXT = (str, SecretStr, str | None, SecretStr | None)


@dataclass(frozen=True)
class Document:
    """One block to save: what prefect.yaml calls `<type>/<name>`."""

    name: str
    block: Block = field(repr=False)

    @property
    def slug(self) -> str:
        """How a parameter refers to it: `redis-credentials/datashare`."""
        return f"{self.block.get_block_type_slug()}/{self.name}"


def block_types(package: ModuleType = blocks) -> dict[str, type[Block]]:
    """Find every block class defined in the package's modules, by type slug."""
    names = (info.name for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."))
    found = (block for name in names for block in _defined_in(importlib.import_module(name)))
    return {block.get_block_type_slug(): block for block in found}


def documents_from(environ: Mapping[str, str], types: Mapping[str, type[Block]]) -> list[Document]:
    """Read the documents that the environment describes, checked, in the order of their names.

    Raises:
        BadBlockVariable: a variable cannot be used; the message names it and never its value.
    """
    values: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        slug, document, name = _parts(variable)
        values[slug, document][name] = environ[variable]
    return [_document(slug, name, given, types) for (slug, name), given in values.items()]


def register_type(block: type[Block]) -> str:
    """Make the type known to the server, so that forms offer a picker for it, with a logo."""
    block._logo_url = HttpUrl(f"{ui_url()}/{LOGO}")
    block.register_type_and_schema()
    return f"block type {block.get_block_type_slug()}: registered"


def upsert_document(document: Document) -> str:
    """Save the document over the one of the same name, where that differs; references to it stay valid."""
    _, saved = save_block(document.block, document.name)
    return f"block {document.slug}: {'saved' if saved else 'unchanged'}"


def save_block(block: Block, name: str) -> tuple[UUID, bool]:
    """Save a block over the document of its name where that differs; return the document's id and whether it did."""
    stored = _stored(block, name)
    if stored and stored._block_document_id and _fields(stored) == _fields(block):  # Prefect has no other way to ask
        return stored._block_document_id, False
    return cast("UUID", block.save(name, overwrite=True)), True


def prefix_of(slug: str) -> str:
    """Name the variables of a document, for messages: `redis-credentials/datashare` → `STEWARD_…`."""
    return PREFIX + slug.replace("/", "__").replace("-", "_").upper() + "__"


def _stored(block: Block, name: str) -> Block | None:
    try:
        return cast("Block", type(block).load(name))
    except (ValueError, RuntimeError):  # there is none, or one of an earlier version that is no longer valid
        return None


def _fields(block: Block) -> dict[str, Any]:
    return {name: getattr(block, name) for name in type(block).model_fields}


def _defined_in(module: ModuleType) -> Iterator[type[Block]]:
    for value in vars(module).values():
        own = isinstance(value, type) and issubclass(value, Block) and value.__module__ == module.__name__
        if own and not isabstract(value):
            yield value


def _parts(variable: str) -> tuple[str, str, str]:
    parts = variable.removeprefix(PREFIX).lower().split("__")
    if len(parts) != 3 or not all(parts):
        raise BadBlockVariable(f"{variable}: write it as {PREFIX}<TYPE>__<DOCUMENT>__<FIELD>")
    slug, document, name = parts
    return slug.replace("_", "-"), document.replace("_", "-"), name


def _document(slug: str, name: str, given: Mapping[str, str], types: Mapping[str, type[Block]]) -> Document:
    where = prefix_of(f"{slug}/{name}")
    if slug not in types:
        raise BadBlockVariable(f"{where}…: no block type {slug}; there is {_listed(types)}")
    block = types[slug]
    # Blocks accept any extra key, so a misspelt one would be stored and never read.
    for field_name in given.keys() - block.model_fields.keys():
        raise BadBlockVariable(f"{where}{field_name.upper()}: {slug} has {_listed(block.model_fields)}")
    for field_name, text in given.items():
        if block.model_fields[field_name].annotation in (str, str | None) and has_password(text):
            raise BadBlockVariable(f"{where}{field_name.upper()}: has a password, and this field is shown to everybody")
    values = {key: _value(text, block.model_fields[key].annotation, where + key.upper()) for key, text in given.items()}
    try:
        document = Document(name, block(**values))
    except ValidationError as error:
        # Without the input, which may be a secret, and without the chain, which would print it.
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise BadBlockVariable(f"{where}…: {slug} refuses it: {problems}") from None
    if isinstance(document.block, CheckedCredentials) and (missing := document.block.missing):
        variables = " and ".join(where + field_name.upper() for field_name in missing)
        raise BadBlockVariable(f"{where}…: set {variables} too")
    return document


def _value(text: str, annotation: object, variable: str) -> Any:
    if annotation in TEXT or text[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadBlockVariable(f"{variable}: not valid JSON at character {error.pos}") from None


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names)) or "none yet"
