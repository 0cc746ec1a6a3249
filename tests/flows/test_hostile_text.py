"""What a record, a user or a server says stays data: on a terminal, in a log, on a run's page, in its state."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prefect.logging.handlers import APILogHandler

from flows.log_file import FORMAT
from flows.plans import lines_for, overview
from flows.printing import report_lines
from flows.terminal import say
from tasks.changes.errors import StewardError, StoreDenied
from tasks.changes.plan_file import Counts, Header
from tasks.changes.protocols import Action
from tasks.changes.report import Report
from tasks.changes.run_log import Printable
from tasks.changes.texts import json_printable, printable
from tests.flows.conftest import Api, Command, Datashare, Here, download

ODD = (
    "o\x1b[2J\x9b31m\u202e\u200b\u2028\r\n2026-01-01 00:00:00,000:INFO:steward:all is well"
    "[red]<b>**x**</b>[a](http://b)\x07\x7f"
)
"""A name that clears a screen, turns text around, forges a line of a log, and is mark-up."""
HOSTILE = st.text(st.characters(), max_size=40) | st.text("\x1b\x9b\r\n\u202e\u2028\u200b\x7f[2J]<>*`_|", max_size=40)
VALUES = HOSTILE | HOSTILE.map(lambda text: json.dumps({text: [text]}))


def inert(text: str) -> bool:
    """Whether there is nothing in it that a terminal acts on but the ends of lines."""
    return all(line.isprintable() for line in text.split("\n"))


def unpainted(text: str, _style: str) -> str:
    return text


# ----------------------------------------------------------------------------------------- whatever it is: properties


@given(HOSTILE, VALUES, VALUES | st.none(), HOSTILE, HOSTILE)
def test_an_action_is_shown_in_lines_that_do_not_act(
    key: str, before: str, after: str | None, reason: str, detail: str
) -> None:
    for one in (before, before.encode(errors="surrogatepass")):
        lines = list(lines_for(Action(key, one, after, 0, reason, detail), unpainted))
        assert all(line.isprintable() for line in lines)


@given(HOSTILE)
@example(ODD)
def test_a_plan_and_a_report_are_described_in_lines_that_do_not_act(odd: str) -> None:
    many = {odd: 1}
    problems = [{"record": odd, "reason": odd}]
    header = Header(job=odd, version=odd, store=odd, undoable=False, parameters={odd: odd, "n": 1}, created=odd)
    counts = Counts(scanned=9, planned=1, because=many, kept=many, problems=problems, problem_count=1, remarks=[odd])
    assert inert("\n".join(map(printable, overview(header, counts, odd))))
    report = report_of(odd)
    for stage in ("planned", "refused", "begun", "stopped", "done"):
        staged = report.model_copy(update={"stage": stage})
        assert inert("\n".join(report_lines(staged, odd, unpainted)))


def report_of(odd: str) -> Report:
    numbers = dict.fromkeys(("scanned", "planned", "applied", "conflicts", "problem_count", "bytes_freed"), 3)
    times = dict.fromkeys(("started", "finished"), "2026-01-01T00:00:00+00:00")
    problems = [{"record": odd, "reason": odd}]
    return Report(
        job="toy",
        dry_run=True,
        kept={odd: 1},
        ignored={odd: 1},
        problems=problems,
        plan=odd,
        plan_hash="x",
        remarks=[odd],
        because={odd: 1},
        **numbers,
        **times,
    )


@given(HOSTILE)
@example(ODD)
def test_json_is_equal_and_does_not_act(odd: str) -> None:
    line = json.dumps({odd: odd}, ensure_ascii=False)
    assert json.loads(json_printable(line)) == {odd: odd}
    assert json_printable(line).isprintable()


@given(HOSTILE)
@example(ODD)
def test_an_error_and_a_log_line_do_not_act_and_forge_no_line(odd: str) -> None:
    error = StoreDenied(odd)
    error.so_far = odd
    assert inert(str(error))
    try:
        raise error from KeyError(odd)
    except StewardError as raised:
        info = (type(raised), raised, raised.__traceback__)
        record = logging.LogRecord("steward", logging.ERROR, "x.py", 1, "said %s", (odd,), info)
    Printable().filter(record)
    first, *others = logging.Formatter(FORMAT).format(record).split("\n")
    assert all(line.isprintable() for line in [first, *others])
    assert all(line.startswith("    ") for line in others)


def test_what_is_said_to_the_operator_does_not_act(capsys: pytest.CaptureFixture[str]) -> None:
    say(ODD)
    said = capsys.readouterr().err
    assert inert(said)
    assert "[red]" in said


def test_no_password_of_a_url_is_in_an_error() -> None:
    assert str(StoreDenied("at redis://me:s3cr3t@h/0: no")) == "at redis://me:PASSWORD@h/0: no"
    assert str(StoreDenied("file:///srv/a:b@c")) == "file:///srv/a:b@c"


# --------------------------------------------------------------------------------------- a run from end to end


@pytest.fixture
def odd(datashare: Datashare, tmp_path: Path) -> Datashare:
    """A hash and a folder with an odd name, and records with odd ids and places."""
    datashare.redis.delete(datashare.key)
    datashare.key += ODD
    datashare.folder = tmp_path / ODD.replace("/", "")
    datashare.folder.mkdir()
    datashare.present(3)
    datashare.add(ODD, download(ODD, f"{ODD}.zip".replace("/", "")))
    datashare.add(f"{ODD}broken", b'{"\x9b": ')
    return datashare


def everything_of(api: Api, key: str) -> list[str]:
    """Return all texts that the Prefect server has about the runs on a hash, but for what they were called with."""
    APILogHandler().flush()
    runs = [run for run in api.post("flow_runs/filter", sort="START_TIME_DESC", limit=50) if key in str(run)]
    mine = {"flow_run_id": {"any_": [run["id"] for run in runs]}}
    logs = api.post("logs/filter", logs=mine)
    artifacts = api.post("artifacts/filter", artifacts=mine)
    assert runs
    assert logs
    assert artifacts
    texts = [text for run in runs for text in (run["name"], run["state"]["message"] or "")]
    texts += [log["message"] for log in logs]
    for artifact in artifacts:
        texts += [str(artifact["data"]), artifact["description"] or ""]
    return texts


def test_a_run_on_odd_names_acts_nowhere(odd: Datashare, command: Command, api: Api, tmp_path: Path) -> None:
    log = tmp_path / "log"
    done = command(
        *("hmap-cleaner", *odd.arguments, "--max-fraction", "1"),
        *("--verbose", "--log-file", log, "--log-level", "DEBUG"),
    )
    assert done.returncode == 1, done.stderr
    assert "1 of 5 records could not be handled" in done.stderr
    assert len(odd.tasks) == 4
    assert inert(done.stdout)
    assert inert(done.stderr)
    written = log.read_text()
    assert inert(written)
    assert all(re.match(r"2026-01-01|    |20\d\d-\d\d-\d\d \d\d", line) for line in written.splitlines())
    assert not re.search("^2026-01-01", written, re.MULTILINE)
    assert all(inert(text) for text in everything_of(api, odd.key[:30]))


def test_plan_show_of_odd_names_does_not_act_and_is_json(odd: Datashare, here: Here) -> None:
    with pytest.raises(StewardError):
        odd.plan(max_fraction=1)
    (plan,) = (odd.folder.parent / "plans").glob("*.zst")
    for options in ([], ["--limit", "0"]):
        shown = here("steward", "plan", "show", plan, *options)
        assert inert(shown.stdout)
        assert r"o\x1b[2J\x9b31m\u202e" in shown.stdout
    header, action, _ = here("steward", "plan", "show", plan, "--json").stdout.splitlines()
    assert header.isprintable()
    assert action.isprintable()
    assert json.loads(header)["parameters"]["hash_key"] == odd.key
    assert json.loads(action)["key"] == ODD


def test_a_report_as_json_does_not_act(odd: Datashare, here: Here) -> None:
    done = here("steward", "hmap-clean", *odd.arguments, "--max-fraction", "1", "--json")
    assert done.stdout.rstrip("\n").isprintable()
    assert json.loads(done.stdout)["problems"][0]["record"] == f"{ODD}broken"


@pytest.mark.parametrize(
    "given",
    [
        {"hash_key": ODD, "archive_dir": "/not/there"},
        {"archive_dir": f"/not/{ODD}/there"},
        {"plans": f"/proc/{ODD}"},
    ],
)
def test_form_values_do_not_act_in_a_runs_state(datashare: Datashare, api: Api, given: dict[str, Any]) -> None:
    datashare.present(1)
    with pytest.raises(StewardError) as failed:
        datashare.clean(**given)
    assert inert(str(failed.value))
    runs = api.post("flow_runs/filter", sort="START_TIME_DESC", limit=20)
    mine = [run for run in runs if given.items() <= run["parameters"].items()]
    assert inert(mine[0]["state"]["message"])


@pytest.mark.parametrize(
    "line",
    [
        ("hmap-clean", "redis://127.0.0.1:1/0", "/tmp", f"--{ODD}"),
        ("hmap-clean", "redis://127.0.0.1:1/0", "/tmp", "--states", ODD),
        ("hmap-clean", ODD, "/tmp"),
        ("hmap-clean", f"env:{ODD}", "/tmp"),
        ("hmap-clean", f"block:{ODD}/x", "/tmp"),
        ("hmap-clean", "redis://127.0.0.1:1/0", "/tmp", "--log-file", f"/not/{ODD}"),
        ("plan", "show", ODD),
        ("plan", "prune", "--older-than", ODD),
        (ODD,),
    ],
    ids=lambda line: line[0][:8],
)
def test_a_wrong_command_line_does_not_act(here: Here, line: tuple[str, ...]) -> None:
    done = here("steward", *line)
    assert done.returncode == 2
    assert inert(done.stderr + done.stdout)


def test_prune_names_odd_files_as_text(here: Here, plans: Path) -> None:
    plans.mkdir()
    (plans / f"{ODD.replace('/', '')}.plan.zst").touch()
    done = here("steward", "plan", "prune", "--older-than", "0s")
    assert done.stdout.splitlines()[-1] == "1 removed"
    assert inert(done.stdout)


def test_an_argument_that_is_no_text_is_status_2(command: Command) -> None:
    done = command("steward", "hmap-clean", "redis://127.0.0.1:1/0", "/tmp", "--hash-key", "\udcff")
    assert (done.returncode, done.stderr) == (2, "\\udcff is no text: it has bytes that are not UTF-8.\n")
