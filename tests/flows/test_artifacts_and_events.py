"""What a run leaves in Prefect: its name, a table, one event, and never a secret."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from prefect import flow, get_run_logger
from prefect.logging.handlers import APILogHandler

from blocks.redis_credentials import RedisCredentials
from flows.cli import FAILED, attempt, call
from flows.undo import undo
from tasks.changes import progress
from tasks.changes import report as report_module
from tasks.changes.errors import PlanRefused, RecordsUnhandled, StoreDenied
from tasks.changes.report import Report
from tasks.changes.sealed_file import SealedFile
from tests.flows.conftest import Api, Datashare

PASSWORD = "n3ver/to be@seen"
REPORTED = "steward.run.reported"


@pytest.fixture
def half(datashare: Datashare) -> Datashare:
    """Six downloads, three of which have lost their archives."""
    datashare.present(3)
    datashare.gone(3)
    return datashare


def run_of(api: Api, datashare: Datashare, nth: int = 0) -> dict[str, Any]:
    """Give the latest run that worked on this Datashare, or one before it."""
    runs = api.post("flow_runs/filter", sort="START_TIME_DESC", limit=50)
    mine = [run for run in runs if run["parameters"].get("hash_key") == datashare.key]
    return dict(mine[nth])


def artifact_of(api: Api, run: dict[str, Any]) -> dict[str, Any]:
    wanted = {"flow_run_id": {"any_": [run["id"]]}, "type": {"any_": ["table"]}}
    (artifact,) = api.post("artifacts/filter", artifacts=wanted)
    assert artifact["key"] == "hmap-clean-report"
    return dict(artifact)


def table_of(api: Api, run: dict[str, Any]) -> dict[str, str]:
    return {row["what"]: row["value"] for row in json.loads(artifact_of(api, run)["data"])}


def test_a_run_is_named_after_its_mode_and_its_server(half: Datashare, api: Api) -> None:
    half.plan()
    half.clean()
    assert run_of(api, half, 1)["name"] == f"dry run {half.url}"
    assert run_of(api, half)["name"] == f"live {half.url}"


def test_an_undo_is_named_live(half: Datashare, api: Api) -> None:
    plan = half.clean().plan
    undo(plan, half.credentials)
    runs = api.post("flow_runs/filter", sort="START_TIME_DESC", limit=50)
    assert next(run["name"] for run in runs if run["parameters"].get("plan") == plan) == f"live {half.url}"


def test_the_table_has_the_reports_numbers(half: Datashare, api: Api) -> None:
    report = half.clean()
    table = table_of(api, run_of(api, half))
    assert table["scanned"] == "6"
    assert table["planned"] == table["applied"] == table["because: archive is gone"] == "3"
    assert table["kept: archive is there"] == "3"
    assert table["conflicts (changed since planned, left alone)"] == table["problems"] == "0"
    assert table["bytes freed"] == f"{report.bytes_freed:,} ({report.bytes_freed / 1000:.1f} kB)"
    description = artifact_of(api, run_of(api, half))["description"]
    assert description == f"3 of 3 planned changes made, 0 conflicts. Plan: {Path(report.plan).name}"


def page_of(api: Api, run: dict[str, Any]) -> str:
    """Return the summary on a run's page, of which there is one."""
    wanted = {"flow_run_id": {"any_": [run["id"]]}, "type": {"any_": ["markdown"]}}
    (artifact,) = api.post("artifacts/filter", artifacts=wanted)
    assert artifact["key"] == "hmap-clean-summary"
    return str(artifact["data"])


def test_the_page_of_a_dry_run_says_what_comes_next(half: Datashare, api: Api) -> None:
    report = half.plan()
    page = page_of(api, run_of(api, half))
    assert page.startswith("**Dry run: 3 of 6 records would change; nothing was changed.**\n\n")
    plan = Path(report.plan).name
    assert f"\n\n`{plan}`\n\n" in page
    assert f"\nsteward plan show {plan}\nsteward apply {plan} {half.url}\n" in page


def test_the_page_names_the_plan_before_the_first_change_and_is_written_anew_at_the_end(
    half: Datashare, api: Api, before_batch: Callable[[int, Callable[[], object]], None]
) -> None:
    meanwhile: list[str] = []
    before_batch(1, lambda: meanwhile.append(page_of(api, run_of(api, half))))
    plan = Path(half.clean().plan).name
    (begun,), done = meanwhile, page_of(api, run_of(api, half))
    assert begun.startswith("**3 changes are being made.**\n\n")
    assert done.startswith("**3 of 3 planned changes made, 0 conflicts.**\n\n")
    for page in (begun, done):
        assert f"\n\n`{plan}`\n\n" in page
        assert f"\nsteward undo {plan} {half.url}\n" in page


def test_the_log_names_the_plan_and_the_way_back(half: Datashare, api: Api) -> None:
    report = half.clean()
    APILogHandler().flush()
    run = run_of(api, half)
    lines = [line["message"] for line in api.post("logs/filter", logs={"flow_run_id": {"any_": [run["id"]]}})]
    (line,) = [line for line in lines if f"Plan {report.plan}" in line]
    assert f"steward undo {Path(report.plan).name} {half.url}" in line


def test_the_page_of_an_undo_says_how_to_go_on(half: Datashare, api: Api) -> None:
    plan = half.clean().plan
    undo(plan, half.credentials)
    runs = api.post("flow_runs/filter", sort="START_TIME_DESC", limit=50)
    run = next(run for run in runs if run["parameters"].get("plan") == plan)
    wanted = {"flow_run_id": {"any_": [run["id"]]}, "type": {"any_": ["markdown"]}}
    (artifact,) = api.post("artifacts/filter", artifacts=wanted)
    assert artifact["key"] == "undo-summary"
    assert artifact["data"].startswith("**3 of 3 changes taken back, 0 conflicts.**\n\n")


def test_a_failed_run_has_its_table_and_a_first_line_that_says_why(half: Datashare, api: Api) -> None:
    half.add("broken", b"{")
    with pytest.raises(RecordsUnhandled):
        half.clean()
    run = run_of(api, half)
    assert table_of(api, run)["broken"].startswith("broken JSON")
    assert "1 of 7 records could not be handled, the rest was" in run["state"]["message"].partition("\n")[0]


def test_a_refused_run_has_its_table_too(half: Datashare, api: Api) -> None:
    with pytest.raises(PlanRefused):
        half.clean(max_changes=1)
    run = run_of(api, half)
    assert run["state_type"] == "FAILED"
    assert "3 changes, more than the 1 allowed" in run["state"]["message"]
    table = table_of(api, run)
    assert table["planned"] == "3"
    assert "applied" not in table


def test_one_event_tells_what_was_done(half: Datashare, api: Api) -> None:
    report = half.clean()
    events = events_of(api, run_of(api, half), REPORTED)
    (event,) = [event for event in events if event["event"] == REPORTED]
    assert event["resource"]["prefect.resource.id"] == "steward.job.hmap-clean"
    assert event["payload"] == report.model_dump(exclude={"problems"})


def events_of(api: Api, run: dict[str, Any], awaited: str) -> list[dict[str, Any]]:
    """Give a run's events, once the awaited one has arrived."""
    of_run = {"any_resource": {"id": [f"prefect.flow-run.{run['id']}"]}}
    deadline = time.monotonic() + 20
    while True:
        events: list[dict[str, Any]] = api.post("events/filter", filter=of_run, limit=50)["events"]
        if any(event["event"] == awaited for event in events):
            return events
        assert time.monotonic() < deadline, events
        time.sleep(0.2)


def everything_about(api: Api, run: dict[str, Any], last_event: str) -> str:
    """Give all that the API has about a run, as text."""
    APILogHandler().flush()
    mine = {"flow_run_id": {"any_": [run["id"]]}}
    found = {
        "run": run,
        "states": api.get(f"flow_run_states/?flow_run_id={run['id']}"),
        "tasks": api.post("task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}}),
        "logs": api.post("logs/filter", logs=mine),
        "artifacts": api.post("artifacts/filter", artifacts=mine),
        "events": events_of(api, run, last_event),
    }
    assert found["logs"]
    return json.dumps(found, ensure_ascii=False)


def shows(text: str) -> bool:
    """Say whether the password is in a text, whole, escaped, or its first part."""
    return any(form in text for form in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), "n3ver"))


def test_no_secret_is_in_the_api_nor_in_the_plan(half: Datashare, api: Api, login: Callable[..., str]) -> None:
    half.url = login(PASSWORD, "+@all")
    assert shows(half.url)
    report = half.clean()
    assert not shows(everything_about(api, run_of(api, half), REPORTED))
    assert not shows(b"".join(SealedFile(Path(report.plan)).lines()).decode())
    assert not shows(report.model_dump_json())


def test_no_secret_is_in_the_api_after_a_wrong_password(half: Datashare, api: Api, login: Callable[..., str]) -> None:
    half.url = login("another", "+@all").replace("another", quote(PASSWORD, safe=""))
    with pytest.raises(StoreDenied, match="refuses the user or password") as denied:
        half.clean()
    run = run_of(api, half)
    assert run["state_type"] == "FAILED"
    assert "refuses the user or password" in run["state"]["message"].partition("\n")[0]
    assert not shows(everything_about(api, run, "prefect.flow-run.Failed"))
    assert not shows(str(denied.value))


def test_no_secret_of_a_stored_block_is_in_the_api(half: Datashare, api: Api, login: Callable[..., str]) -> None:
    half.url = login(PASSWORD, "+@all")
    name = half.key.replace(":", "-")
    half.credentials.save(name)
    assert half.clean(redis=RedisCredentials.load(name)).applied == 3
    assert not shows(everything_about(api, run_of(api, half), REPORTED))
    assert not shows(json.dumps(api.get(f"block_types/slug/redis-credentials/block_documents/name/{name}")))


def unreachable(*_: object, **__: object) -> None:
    """What Prefect's client raises once its server is gone."""
    message = "Connection refused"
    raise httpx.ConnectError(message)


def test_k2_a_prefect_server_that_goes_away_takes_nothing_from_what_a_run_did(
    half: Datashare, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "ARTIFACT_SECONDS", 0)
    monkeypatch.setattr(progress, "create_progress_artifact", unreachable)
    monkeypatch.setattr(report_module, "create_table_artifact", unreachable)
    report = half.clean()
    assert (report.applied, report.stage, len(half.tasks)) == (3, "done", 3)
    assert "The report is not on the run's page: ConnectError: Connection refused" in caplog.text
    assert "3 of 3 planned changes made, 0 conflicts. Plan: " in caplog.text


def test_k4_a_run_whose_end_prefect_cannot_take_down_still_shows_its_report(
    half: Datashare, capsys: pytest.CaptureFixture[str]
) -> None:
    done = half.clean()

    @flow
    def cut_off() -> Report:
        get_run_logger().info("done", extra={"reported": done})
        raise httpx.ConnectError("Connection refused")

    assert attempt(lambda: call(cut_off, {}, store=half.url, json=False)) == FAILED
    shown = capsys.readouterr()
    assert "3 of 3 planned changes made, 0 conflicts." in shown.out
    assert "Failed: Failed to reach API at " in shown.err
