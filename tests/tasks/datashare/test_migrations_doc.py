"""What docs/migrations.md says is true: its example works, and its tables are those of the code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import sandbox
from tasks.changes.protocols import Keep, Replace
from tasks.datashare import edits, steps
from tasks.datashare.model_migration import TARGETS, ToGeneration, all_steps
from tasks.datashare.registry import Registry

DOC = (Path(sandbox.__file__).parent.parent / "docs" / "migrations.md").read_text()


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """Run the example as the file that it is."""
    (code,) = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    found: dict[str, Any] = {"__name__": "g4_to_g5"}
    exec(compile(code, "g4_to_g5.py", "exec"), found)
    return found


def rows(heading: str) -> list[list[str]]:
    table = DOC.split(f"| {heading} |")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def test_the_example_takes_every_generation_to_its_own(example: dict[str, Any], lines: dict[str, list[bytes]]) -> None:
    judge = ToGeneration("G5", registry=Registry([*all_steps().steps, *example["STEPS"]]))
    for stem in ("g1-18.0.0", "g2-20.2.0", "g3-20.3.0", "g4-head"):
        for line in lines[stem]:
            verdict = judge(b"key", line)
            assert isinstance(verdict, Replace), verdict
            assert isinstance(verdict.after, bytes)
            task = json.loads(verdict.after)["task"]
            assert task["retries"] == 0
            assert task["state"] in ("FINISHED", "ERROR", "CREATED")
            assert "retriesLeft" not in task
            assert judge(b"key", verdict.after) == Keep("already G5")


def test_the_example_s_file_is_found_where_it_is_said_to_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "tasks/datashare/steps/g4_to_g5.py" in DOC
    (code,) = re.findall(r"```python\n(.*?)```", DOC, re.DOTALL)
    (tmp_path / "g4_to_g5.py").write_text(code)
    monkeypatch.setattr(steps, "__path__", [*steps.__path__, str(tmp_path)])
    registry = all_steps()
    assert len(registry.way(registry.generations["G0"], registry.generations["G5"])) == 4


def test_the_table_of_steps_is_the_registry_s() -> None:
    assert rows("step") == [
        [
            f"`{step.name}`",
            str(step.source),
            str(step.target),
            step.loses or "nothing",
            f"`{step.inverse.__name__}`" if step.inverse else "",
        ]
        for step in all_steps().steps
    ]


def test_the_table_of_edits_is_the_module_s() -> None:
    told = [name.split("(")[0].strip("`") for name, *_ in rows("edit")]
    assert sorted(told) == sorted(
        name
        for name, one in vars(edits).items()
        if callable(one) and one.__module__ == edits.__name__ and name[0].islower()
    )
    assert all(
        name in DOC for name in ("CannotMigrate", *(error.__name__ for error in edits.CannotMigrate.__subclasses__()))
    )


def test_the_targets_are_named_as_in_the_table() -> None:
    named = dict(reversed(row[0].split(", ")) for row in rows("generation") if "," in row[0])
    assert {name.strip("*"): generation for name, generation in named.items()} == TARGETS
