"""With approve=True a run pauses with the plan's summary, and goes on only for that very plan."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from prefect.flow_runs import pause_flow_run, resume_flow_run

from tasks.changes.approval import ask_approval
from tasks.changes.errors import PlanRefused
from tasks.changes.report import Report
from tests.flows.conftest import Api, Datashare, search
from tests.flows.forging import forge, put_in_its_place, written_over

Asked = Callable[[], tuple["Future[Report]", dict[str, Any]]]


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for the answer every half second, not every ten, and for half a minute, not a day."""
    monkeypatch.setattr(
        "tasks.changes.approval.pause_flow_run",
        lambda **asked: pause_flow_run(**(asked | {"timeout": min(asked["timeout"], 30), "poll_interval": 0.5})),
    )


@pytest.fixture
def asked(datashare: Datashare, api: Api) -> Iterator[Asked]:
    """A run in another thread, which has come as far as its question."""
    datashare.present(3)
    datashare.add("s", search("s"))
    datashare.gone(3)

    def ask() -> tuple["Future[Report]", dict[str, Any]]:
        run = pool.submit(copy_context().run, datashare.clean, approve=True)
        deadline = time.monotonic() + 120
        while not (paused := _paused(api, datashare.key)):
            assert not run.done(), run.result()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return run, paused

    with ThreadPoolExecutor(1) as pool:
        yield ask


def _paused(api: Api, hash_key: str) -> dict[str, Any] | None:
    paused = {"state": {"type": {"any_": ["PAUSED"]}}}
    runs = api.post("flow_runs/filter", flow_runs=paused, limit=20)
    return next((run for run in runs if run["parameters"]["hash_key"] == hash_key and _question(api, run)), None)


def _question(api: Api, run: dict[str, Any]) -> dict[str, str]:
    """Give what the UI makes its form from, by its keys."""
    keys = run["state"]["state_details"]["run_input_keyset"]
    rows = api.post(f"flow_runs/{run['id']}/input/filter", prefix=keys["description"])
    rows += api.post(f"flow_runs/{run['id']}/input/filter", prefix=keys["schema"])
    named = {row["key"]: row["value"] for row in rows}
    return {name: named[key] for name, key in keys.items() if key in named} if len(named) == 2 else {}


def plan_hash(api: Api, run: dict[str, Any]) -> str:
    return str(orjson.loads(_question(api, run)["schema"])["properties"]["plan_hash"]["default"])


def answer(api: Api, run: dict[str, Any], **answers: Any) -> None:
    """Answer as the UI does, and again should a busy server have let the answer fall."""
    while api.get(f"flow_runs/{run['id']}")["state_type"] == "PAUSED":
        resume_flow_run(run["id"], run_input={"plan_hash": plan_hash(api, run)} | answers)


def test_the_question_shows_numbers_and_first_changes(asked: Asked, api: Api, datashare: Datashare) -> None:
    run, paused = asked()
    text = _question(api, paused)["description"]
    assert "3 of 7 records would change" in text
    assert "keep: archive is there: 3" in text
    assert "ignore: not a batch download: 1" in text
    assert text.count("gone-") >= 3
    assert "file:///home/dev/tmp/gone-0.zip" in text
    wanted = {"flow_run_id": {"any_": [paused["id"]]}, "type": {"any_": ["markdown"]}}
    (page,) = api.post("artifacts/filter", artifacts=wanted)
    assert page["data"].startswith("**This plan waits for somebody's approval.**")
    assert len(datashare.tasks) == 7
    answer(api, paused, approve=True)
    assert run.result().applied == 3
    assert len(datashare.tasks) == 4


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ({"approve": False}, "denied"),
        ({}, "denied"),
        ({"approve": True, "plan_hash": "0" * 64}, "for another plan"),
    ],
)
def test_any_other_answer_changes_nothing(
    asked: Asked, api: Api, datashare: Datashare, answers: dict[str, Any], why: str
) -> None:
    run, paused = asked()
    answer(api, paused, **answers)
    with pytest.raises(
        PlanRefused, match=f"{why}.* Nothing has changed. Carry it out later: steward apply "
    ) as refused:
        run.result()
    assert refused.value.report
    assert refused.value.report.applied == 0
    assert len(datashare.tasks) == 7


def test_no_answer_in_time_changes_nothing(datashare: Datashare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.hmap_clean.ask_approval", partial(ask_approval, wait=timedelta(seconds=1)))
    datashare.present(3)
    datashare.gone(3)
    with pytest.raises(PlanRefused, match=r"Nobody approved the plan within 0:00:01\. Nothing has changed"):
        datashare.clean(approve=True)
    assert len(datashare.tasks) == 6


def test_a_plan_without_changes_needs_no_approval(datashare: Datashare) -> None:
    datashare.present(3)
    assert datashare.clean(approve=True).planned == 0


def test_a_dry_run_asks_nobody(datashare: Datashare) -> None:
    datashare.present(3)
    datashare.gone(3)
    assert datashare.plan(approve=True).planned == 3


@pytest.mark.parametrize("way", [put_in_its_place, written_over])
def test_a_plan_that_is_rewritten_while_it_waits_is_refused(
    asked: Asked, api: Api, datashare: Datashare, plans: Path, way: Callable[[Path, bytes], None]
) -> None:
    """Seen: 30 values of a plan that somebody else had sealed were written, with the approval of another."""
    datashare.present(30)
    run, paused = asked()
    before = datashare.everything()
    (plan,) = plans.glob("*.plan.zst")
    way(plan, forge(plan, {f"present-{i}": before[f"present-{i}".encode()] for i in range(30)}))
    answer(api, paused, approve=True)
    with pytest.raises(PlanRefused, match="replaced or altered while this run waited, and nothing has changed"):
        run.result()
    assert datashare.everything() == before


def test_a_plan_with_altered_bytes_is_refused_after_its_approval(
    asked: Asked, api: Api, datashare: Datashare, plans: Path
) -> None:
    run, paused = asked()
    before = datashare.everything()
    (plan,) = plans.glob("*.plan.zst")
    whole = plan.read_bytes()
    written_over(plan, whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    answer(api, paused, approve=True)
    with pytest.raises(PlanRefused, match="altered"):
        run.result()
    assert datashare.everything() == before
