"""The guard guards what could go, a dry run says what it would refuse, and what was applied adds up to the plan."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.apply import apply
from flows.batch_search_migrate import batch_search_migrate
from flows.datajoint_clean import datajoint_clean
from flows.hmap_clean import hmap_clean
from flows.task_model_migrate import task_model_migrate
from tasks.changes.errors import PlanRefused
from tasks.changes.report import Report
from tests.flows.conftest import Api, Command, Datashare, Here, download, search
from tests.flows.external_store import ExternalStore, Stores, config_of, credentials_of
from tests.flows.test_artifacts_and_events import run_of, table_of
from tests.flows.test_batch_search_migrate import Searches, number, searches  # noqa: F401  # a fixture
from tests.flows.test_task_model_migrate import Tasks, tasks  # noqa: F401  # a fixture

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def nearly_all_gone(datashare: Datashare) -> None:
    """Make it look as after a mount that is half lost: of 100 downloads, one archive is there."""
    datashare.present(1)
    datashare.gone(99)


def in_folder(folder: str, task: str) -> bytes:
    """A download whose record names another folder."""
    return download(task, f"{task}.zip").replace(b"/home/dev/tmp", folder.encode())


# ---------------------------------------------------------------------------------------- what could have gone


BESIDE: dict[str, Callable[[str], bytes]] = {
    "batch searches": search,
    "downloads under way": lambda task: download(task, f"{task}.zip", state="RUNNING"),
    "failed downloads, not asked for": lambda task: download(task, f"{task}.zip", state="ERROR"),
}


@pytest.mark.parametrize("beside", BESIDE)
def test_n19_records_that_could_not_go_do_not_dilute_the_fraction(datashare: Datashare, beside: str) -> None:
    nearly_all_gone(datashare)
    value = BESIDE[beside]("x")
    datashare.redis.hset(datashare.key, mapping={f"beside-{n}": value for n in range(900)})
    with pytest.raises(PlanRefused, match=r"changes 99 of 100 records \(99%\), more than the 50% allowed"):
        datashare.clean()
    assert datashare.redis.hlen(datashare.key) == 1000


def test_n19_the_command_refuses_with_status_3(datashare: Datashare, command: Command) -> None:
    nearly_all_gone(datashare)
    value = search("x")
    datashare.redis.hset(datashare.key, mapping={f"beside-{n}": value for n in range(900)})
    done = command("steward", "hmap-clean", *datashare.arguments, "--apply", "--json")
    assert done.returncode == 3
    report = orjson.loads(done.stdout)
    assert (report["planned"], report["applied"], report["ignored"]) == (99, 0, {"not a batch download": 900})
    assert datashare.redis.hlen(datashare.key) == 1000


def test_n19_downloads_of_another_folder_are_a_group(datashare: Datashare) -> None:
    datashare.present(100)
    for number_ in range(30):
        datashare.add(f"other-{number_}", in_folder("/srv/other%20volume", f"other-{number_}"))
    with pytest.raises(PlanRefused, match=r"30 of 30 records of the folder /srv/other volume \(100%\)"):
        datashare.clean()
    plan = datashare.plan(max_fraction=1).plan
    with pytest.raises(PlanRefused, match="of the folder /srv/other volume"):
        apply(plan, datashare.credentials, max_fraction=0.5)
    assert datashare.redis.hlen(datashare.key) == 130
    assert datashare.clean(max_fraction=1).applied == 30


def test_n19_of_a_small_folder_all_may_go(datashare: Datashare) -> None:
    datashare.present(100)
    for number_ in range(19):
        datashare.add(f"other-{number_}", in_folder("/srv/other", f"other-{number_}"))
    assert datashare.clean().applied == 19


def test_n19_young_records_whose_archive_is_gone_do_not_speak_for_a_folder(datashare: Datashare) -> None:
    nearly_all_gone(datashare)  # of 2024
    young = orjson.loads(download("young", "young.zip"))
    young["task"]["createdAt"] = young["task"]["completedAt"] = 4_000_000_000_000
    value = orjson.dumps(young)
    datashare.redis.hset(datashare.key, mapping={f"young-{n}": value for n in range(900)})
    with pytest.raises(PlanRefused, match=r"99 of 100 records of the folder /home/dev/tmp \(99%\)"):
        datashare.clean(min_age="1h")


def test_b12_objects_of_other_schemas_do_not_dilute_the_fraction(modern: ExternalStore) -> None:
    modern.record("_schema/elsewhere/session/subject=1/file_abcdefgh")
    for number_ in range(60):
        modern.put(f"_schema/elsewhere{number_ % 3}/session/subject={number_}/file_abcdefgh", b"another's")
    digests = [f"{letter * 25}a" for letter in "bcdefghi"]
    modern.hashed("a" * 26, recorded=True)
    modern.hashed("j" * 26, recorded=True)
    for digest in digests:
        modern.hashed(digest, recorded=False)
    with pytest.raises(PlanRefused, match=r"changes 8 of 10 records \(80%\)"):
        modern.clean()
    assert len(modern.paths) == 70


def test_b12_each_owner_is_a_group(lab: ExternalStore, stores: Stores) -> None:
    other = stores(place=lab.place, name=f"{lab.schema.name}_v2")
    lab.blobs(tracked=40, orphans=0, beginning="lab")
    other.blobs(tracked=2, orphans=25, beginning="other")
    both = {"schemas": [lab.schema.name, other.schema.name], "databases": [credentials_of(lab.schema, other.schema)]}
    with pytest.raises(PlanRefused, match=rf"25 of 27 records of the owner {other.schema.name} \(legacy\) \(93%\)"):
        lab.clean(**both)
    assert len(lab.paths) == 67
    report = lab.clean(**both, dry_run=True)
    assert any(f"of the owner {other.schema.name} (legacy)" in objection for objection in report.objections)


@SQLITE
def test_n19_tasks_without_a_result_do_not_dilute_the_fraction(searches: Searches) -> None:  # noqa: F811
    searches.fill(10)
    for number_ in range(90):
        searches.add(f"running-{number_}", "null", state="RUNNING")
    with pytest.raises(PlanRefused, match=r"changes 10 of 10 records \(100%\)"):
        searches.migrate(max_fraction=0.5)


# ---------------------------------------------------------------------------------------- what would be refused


def test_n20_a_dry_run_says_what_would_be_refused_with_status_0(datashare: Datashare, here: Here) -> None:
    nearly_all_gone(datashare)
    wanted = "The plan changes 99 of 100 records (99%), more than the 50% allowed (--max-fraction)."
    done = here("steward", "hmap-clean", *datashare.arguments)
    assert done.returncode == 0
    assert done.stdout.startswith(
        "Dry run: 99 of 100 records would change; nothing was changed. A live run would be refused.\n"
    )
    assert wanted in done.stdout
    assert "Read the plan, and only if it is right, carry it out, exactly as it is:" in done.stdout
    assert "Refused" not in done.stdout + done.stderr
    as_json = here("steward", "hmap-clean", *datashare.arguments, "--json", "--max-changes", "7")
    assert (as_json.returncode, orjson.loads(as_json.stdout)["planned"]) == (0, 99)
    assert "A live run would be refused. The plan has 99 changes, more than the 7 allowed" in as_json.stderr
    assert wanted in as_json.stderr


def test_n20_a_folder_that_is_empty_is_doubted_in_a_dry_run(datashare: Datashare, api: Api) -> None:
    datashare.gone(3)
    report = datashare.plan()
    assert any("is empty: is it mounted" in objection for objection in report.objections)
    assert "is it mounted" in str(table_of(api, run_of(api, datashare))["would be refused"])


def test_n20_task_model_migrate_says_what_would_be_refused(tasks: Tasks) -> None:  # noqa: F811
    tasks.fill("g1-")
    assert tasks.migrate(dry_run=True, max_changes=0).objections
    assert not tasks.migrate(dry_run=True).objections


@SQLITE
def test_n20_batch_search_migrate_says_what_would_be_refused(searches: Searches) -> None:  # noqa: F811
    searches.fill(2)
    assert searches.migrate(dry_run=True, max_fraction=0.5).objections
    assert not searches.migrate(dry_run=True).objections


def test_n20_datajoint_clean_says_what_would_be_refused(lab: ExternalStore) -> None:
    lab.blobs(tracked=0, orphans=3)
    (fraction, doubt) = lab.clean(dry_run=True).objections
    assert "3 of 3 records" in fraction
    assert "has no reference of" in doubt


# ---------------------------------------------------------------------------------- as many as were planned


def as_many_as_planned(planned: Report, report: Report) -> None:
    """All that was planned was applied, and nothing is said to be left."""
    assert planned.planned == report.planned == report.applied > 0
    assert not report.unmade


def adds_up(report: Report, **reasons: int) -> None:
    """What was not applied is told by these reasons."""
    assert report.unmade == {reason.replace("_", " "): count for reason, count in reasons.items()}
    assert report.applied + sum(report.unmade.values()) == report.planned


def meanwhile(monkeypatch: pytest.MonkeyPatch, job: Any, act: Callable[[], object]) -> None:
    """Have something happen once a job's plan is made, before it is applied."""
    monkeypatch.setattr(f"{job.fn.__module__}.guard", lambda *_, **__: act())


def test_n8_hmap_clean(datashare: Datashare, monkeypatch: pytest.MonkeyPatch) -> None:
    datashare.present(9)
    datashare.gone(5)
    as_many_as_planned(planned := datashare.plan(), apply(planned.plan, datashare.credentials))
    datashare.gone(5)

    def act() -> None:
        datashare.add("gone-0", b"newer")
        datashare.redis.hdel(datashare.key, "gone-1")
        (datashare.folder / "gone-2.zip").touch()

    meanwhile(monkeypatch, hmap_clean, act)
    adds_up(datashare.clean(), conflicts=1, already_as_planned=1, archive_came_back=1)


def test_n8_task_model_migrate(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    before = tasks.fill("g1-")
    as_many_as_planned(planned := tasks.migrate(dry_run=True), apply(planned.plan, tasks.credentials))
    tasks.fill("g1-")
    field = next(iter(before)).decode()
    meanwhile(monkeypatch, task_model_migrate, lambda: tasks.add(field, b"newer"))
    adds_up(tasks.migrate(), conflicts=1)


@SQLITE
def test_n8_batch_search_migrate(searches: Searches, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    searches.fill(5)
    as_many_as_planned(planned := searches.migrate(dry_run=True), apply(planned.plan, searches.credentials))
    searches.run("UPDATE task SET result = :old", {"old": number(1)})
    change = "UPDATE task SET result = :new WHERE id = '000003'"
    meanwhile(monkeypatch, batch_search_migrate, lambda: searches.run(change, {"new": number(99)}))
    adds_up(searches.migrate(), conflicts=1)


def test_n8_datajoint_clean(lab: ExternalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.blobs(tracked=5, orphans=3)
    planned = lab.clean(dry_run=True)
    as_many_as_planned(planned, apply(planned.plan, config_of(lab, grace="0s")))
    gone, taken, changed = lab.blobs(tracked=5, orphans=3, beginning="more")

    def act() -> None:
        lab.schema.track("main", taken.rpartition("/")[2])
        lab.put(changed, b"somebody's newer")
        del lab.place[lab.place.base + gone]

    meanwhile(monkeypatch, datajoint_clean, act)
    report = lab.clean()
    adds_up(report, conflicts=1, already_as_planned=1, referenced_since_the_plan_was_made=1)


def test_n8_the_line_that_adds_up_is_printed(datashare: Datashare, here: Here, plans: Path) -> None:
    datashare.present(9)
    datashare.gone(3)
    here("steward", "hmap-clean", *datashare.arguments)
    (plan,) = plans.glob("*.zst")
    datashare.add("gone-0", b"newer")
    (datashare.folder / "gone-2.zip").touch()
    done = here("steward", "apply", plan, datashare.url)
    assert done.returncode == 0
    assert "planned, not applied" in done.stdout
    assert "2: 1 conflicts, 1 archive came back" in done.stdout
