"""No field of a block is required, so that deployments can refer to it; what it lacks it says when it is used."""

import pytest
from prefect.blocks.core import Block

from blocks.checked_credentials import CheckedCredentials
from blocks.errors import UnusableCredentials
from deployments.block_documents import block_types

TYPES = block_types()


@pytest.mark.parametrize("slug", TYPES)
def test_no_field_is_required(slug: str) -> None:
    assert "required" not in TYPES[slug].model_json_schema()


def test_what_only_checks_others_is_no_type() -> None:
    assert "checked-credentials" not in TYPES


@pytest.mark.parametrize(
    ("slug", "lacks"),
    [
        ("database-credentials", "no url"),
        ("datajoint-credentials", "no host and no user and no password and no schemas and no stores"),
        ("object-store-credentials", "no bucket"),
    ],
)
def test_an_empty_block_says_what_it_lacks(slug: str, lacks: str) -> None:
    empty = TYPES[slug]()
    assert isinstance(empty, CheckedCredentials)
    with pytest.raises(UnusableCredentials, match=f"The block {slug}/not saved has {lacks}. Fill it in"):
        empty.get_client()


@pytest.mark.parametrize("slug", TYPES)
def test_an_empty_block_has_a_name_for_its_run(slug: str) -> None:
    location = TYPES[slug]().location  # type: ignore[attr-defined]
    assert isinstance(location, str)


def test_an_empty_password_is_a_password() -> None:
    block: Block = TYPES["datajoint-credentials"](host="h", user="u", password="", schemas=["a"], stores=["b"])
    assert isinstance(block, CheckedCredentials)
    assert block.missing == []
