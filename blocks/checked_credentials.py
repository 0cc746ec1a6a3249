"""Credentials that say what they lack when they are used.

Prefect validates the parameters of a deployment before it reads the blocks that they refer to. So no field of a block
may be required: a deployment whose parameters refer to such a block could not be started at all.
"""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from prefect.blocks.abstract import CredentialsBlock

from blocks.errors import UnusableCredentials


class CheckedCredentials(CredentialsBlock, ABC):
    """Credentials of which some fields must have a value before a client can be made."""

    needs: ClassVar[tuple[str, ...]] = ()

    @property
    def missing(self) -> list[str]:
        """Return the names of the fields that must have a value and have none; an empty password is one."""
        return [name for name in self.needs if getattr(self, name) in (None, "", [])]

    def check_complete(self) -> None:
        """Raise UnusableCredentials where a field is missing."""
        if not self.missing:
            return
        name = self._block_document_name or "not saved"  # Prefect has no other way to ask
        message = (
            f"The block {self.get_block_type_slug()}/{name} has no {' and no '.join(self.missing)}. "
            "Fill it in on the block's page of the Prefect UI, or set its variable and deploy again."
        )
        raise UnusableCredentials(message)
