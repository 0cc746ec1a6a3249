"""The steps that there are lead from every generation to both targets, and say what they lose."""

from typing import Any

import pytest

from tasks.datashare.edits import Absent, CannotMigrate, Record
from tasks.datashare.generations import G0, G1, G2, G3, G4
from tasks.datashare.model_migration import all_steps
from tasks.datashare.records import UnreadableRecord
from tasks.datashare.registry import Context, Registry, Step

FLAT: dict[str, Any] = {"@type": "Task", "args": {}}
PLAIN: dict[str, Any] = {
    "@type": "Task",
    "name": "org.icij.datashare.tasks.BatchSearchRunner",
    "createdAt": 1,
    "args": {},
}


def same(record: Record, _: Context) -> Record:
    return record


@pytest.mark.parametrize(
    ("source", "target", "names"),
    [
        (G0, G4, ["g0_to_g1", "g1_to_g2", "g2_to_g4"]),
        (G1, G4, ["g1_to_g2", "g2_to_g4"]),
        (G2, G4, ["g2_to_g4"]),
        (G3, G4, ["g3_to_g4"]),
        (G4, G4, []),
        (G0, G3, ["g0_to_g1", "g1_to_g2", "g2_to_g3"]),
        (G1, G3, ["g1_to_g2", "g2_to_g3"]),
        (G2, G3, ["g2_to_g3"]),
        (G4, G3, ["g4_to_g3"]),
        (G0, G2, ["g0_to_g1", "g1_to_g2"]),
    ],
)
def test_the_shortest_way_is_found(source: Any, target: Any, names: list[str]) -> None:
    assert [step.name for step in all_steps().way(source, target)] == names


def test_where_no_way_leads_back_it_is_said() -> None:
    with pytest.raises(CannotMigrate, match="no step that leads from G4 to G1"):
        all_steps().way(G4, G1)


def test_a_step_says_what_it_loses_or_has_an_inverse() -> None:
    for arguments in ({}, {"loses": "all", "inverse": same}):
        with pytest.raises(TypeError, match="same needs either an inverse, or to say what it loses"):
            Step(G0, G1, same, **arguments)


def test_whatever_goes_wrong_in_a_step_is_the_record_s_problem() -> None:
    def typo(record: Record, _: Context) -> Record:
        return {"name": record["nmae"]}

    def refuses(_: Record, __: Context) -> Record:
        raise Absent("there is no name")

    with pytest.raises(CannotMigrate, match=r"typo does not know this form of record: KeyError\('nmae'\)"):
        Step(G0, G1, typo, loses="all")({}, Context())
    with pytest.raises(Absent, match="there is no name"):
        Step(G0, G1, refuses, loses="all")({}, Context())


def test_every_sample_is_recognised(sample: dict[str, Any], request: pytest.FixtureRequest) -> None:
    found = str(all_steps().recognise(sample))
    said = request.node.callspec.id[:2].upper()
    no_batch_search_s_count = not isinstance(sample.get("task", {}).get("result", {}).get("value"), int)
    assert found == ("G4" if said == "G2" and no_batch_search_s_count else said)


@pytest.mark.parametrize(
    ("record", "generation"),
    [
        ({"@class": "org.icij.datashare.asynctasks.TaskView", "properties": {}}, G0),
        ({"@class": "org.icij.datashare.tasks.TaskView", "properties": {}}, G0),
        (FLAT, G1),
        ({"task": PLAIN}, G4),
        ({"task": {**PLAIN, "result": {"value": 5}}}, G2),
        ({"task": {**PLAIN, "result": {"value": ["Long", 5]}}}, G2),
        ({"task": {**PLAIN, "name": "BatchSearchRunnerProxy", "result": {"value": 5}}}, G2),
        ({"task": {**PLAIN, "name": "ScanTask", "result": {"value": 5}}}, G4),
        ({"task": {**PLAIN, "result": 5}}, G2),
        ({"task": {**PLAIN, "args": {"batchRecord": {"projects": [{"name": "a", "id": "a"}]}}}}, G2),
        ({"task": {**PLAIN, "createdAt": ["java.util.Date", 1]}}, G3),
    ],
)
def test_a_generation_is_told_by_its_shape(record: Record, generation: Any) -> None:
    assert all_steps().recognise(record) is generation


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        "text",
        5,
        {},
        {"task": None},
        {"task": FLAT["args"]},
        {"@class": "org.icij.datashare.tasks.Other"},
        {"@class": ["a"], "properties": {}},
        {"@type": "Task"},
        {"@type": "Task", "args": []},
        {"task": {"@type": 5}},
    ],
)
def test_m16_what_is_no_task_is_not_recognised(record: Any) -> None:
    with pytest.raises(UnreadableRecord, match="not a task record of a known generation"):
        all_steps().recognise(record)


def test_newer_generations_are_asked_first() -> None:
    assert list(all_steps().generations) == ["G4", "G3", "G2", "G1", "G0"]
    assert list(Registry([]).generations) == []
