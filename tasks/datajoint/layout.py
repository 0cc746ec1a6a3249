"""How a store names its objects, where that is not as DataJoint does it by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.datajoint.namespaces import GENERATIONS, Generation, Namespace

Generations = Literal["legacy", "2", "both"]
JUDGED: Final[dict[Generations, frozenset[Generation]]] = {
    "legacy": frozenset({"legacy"}),
    "2": frozenset({"2"}),
    "both": GENERATIONS,
}


Name = Annotated[str, Field(min_length=1)]


class Layout(BaseModel):
    """How a store names its objects: what DataJoint's settings of the store say, and the tables cannot tell."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    hash_prefix: str = Field(default="_hash", description="As in the store's settings.")
    schema_prefix: str = Field(
        default="_schema", description="As in the store's settings; empty for DataJoint 2.3.0 and older."
    )
    subfolding: list[list[int]] = Field(
        default=[],
        description="The subfoldings that objects lie in, such as [[2, 2]]; any other is misplaced and stays.",
    )
    token_length: int = Field(default=8, ge=4, le=16, description="As in the store's settings.")
    filepaths: list[Name] = Field(
        default=[], description="Folders that hold nothing but objects of type filepath; only there these may go."
    )

    def namespace(self, location: str, schemas: Sequence[str], generation: Generations) -> Namespace:
        """Give what a run owns; raises BadInput where its parts overlap."""
        return Namespace(
            schemas=tuple(schemas),
            location=location,
            generations=JUDGED[generation],
            hash_prefix=self.hash_prefix,
            schema_prefix=self.schema_prefix,
            subfoldings=frozenset(map(tuple, self.subfolding)),
            token_length=self.token_length,
            filepaths=tuple(self.filepaths),
        )


AS_USUAL: Final = Layout()
