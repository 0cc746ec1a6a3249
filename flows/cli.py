"""The `steward` command with a subcommand per job, and the old commands' names."""

from __future__ import annotations

import logging
import os
import re
import ssl
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache, partial
from threading import Timer
from typing import TYPE_CHECKING, Any, Final, NoReturn

from cyclopts import App, CycloptsError, CycloptsPanel, Group

from flows.announcing import announced
from flows.failures import (
    DONE,
    FAILED,
    INTERRUPTED,
    REFUSED,
    TERMINATED,
    USAGE,
    Terminated,
    status_and_text,
    terminable,
)
from flows.importing import imports_kept, quiet_failure
from flows.jobs import OWN, flow_of, job_names, module_of, reader_of, summary_of, system_of
from flows.log_file import escape_console, log_to
from flows.masking import without_secrets
from flows.plans import PLANS, plan_app
from flows.prefect_api import server_that_is_set
from flows.printing import report_lines
from flows.private_server import PrivateServer, needed
from flows.terminal import OutputFailed, flush, open_streams, paint, say, write
from tasks.changes.errors import BadInput, StewardError
from tasks.changes.texts import json_printable, printable_lines
from tasks.changes.version import own_version

if TYPE_CHECKING:
    from prefect import Flow, State
    from prefect.client.schemas.objects import FlowRun
    from rich.panel import Panel

    from tasks.changes.report import Report

SEVERITY = (DONE, REFUSED, USAGE, FAILED)
LOG = logging.getLogger("steward")
for name in ("steward", "prefect"):  # or Python prints to stderr what they log before Prefect's import is through
    logging.getLogger(name).addHandler(logging.NullHandler())
QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}
PLAIN = {"PREFECT_LOGGING_MARKUP": "0"}
"""What a record holds is no mark-up in Prefect's log either."""
END_SECONDS: Final = 10.0
"""Within which an interrupted command is over."""
OLD_NAMES = {
    "hmap-clean": "hmap-cleaner",
    "task-model-migrate": "hmap-migrate",
    "batch-search-migrate": "db-migrate-bs-result-task",
    "datajoint-clean": "dj-cleaner",
}
ASKS = {"--help", "-h", "--version"}
OPTIONS = Group("Options", sort_key=3)
FIRST = """
First thing to try; it only plans, and changes nothing:
  steward hmap-clean redis://localhost:6379 /srv/datashare/archives
Every command has --help."""


def main() -> None:
    """Run `steward`."""
    end(steward(sys.argv[1:]))


def end(status: int) -> NoReturn:
    """End the process; what hangs, such as a thread that waits for a server, holds an interrupted one up no longer."""
    if status in (INTERRUPTED, TERMINATED):
        last = Timer(END_SECONDS, os._exit, [status])
        last.daemon = True
        last.start()
    sys.exit(status)


def hmap_cleaner() -> None:
    """Run `hmap-cleaner`, the old name of hmap-clean: it acts unless told --dry-run."""
    end(old_command("hmap-clean"))


def hmap_migrate() -> None:
    """Run `hmap-migrate`, the old name of task-model-migrate: it acts unless told --dry-run."""
    end(old_command("task-model-migrate"))


def db_migrate_bs_result_task() -> None:
    """Run `db-migrate-bs-result-task`, the old name of batch-search-migrate: it acts unless told --dry-run."""
    end(old_command("batch-search-migrate"))


def dj_cleaner() -> None:
    """Run `dj-cleaner`, the old name of datajoint-clean: it acts unless told --dry-run."""
    end(old_command("datajoint-clean"))


def old_command(job: str) -> int:
    """Run a job under its old name and return its exit status."""
    tokens = sys.argv[1:]
    return run(lambda: app_of_all([]) if tokens == ["--version"] else app_of(job, OLD_NAMES[job], live=True), tokens)


def steward(tokens: list[str]) -> int:
    """Run one command and return its exit status."""
    status = run(lambda: app_of_all(tokens), tokens)
    helped = status == DONE and tokens in ([], ["--help"], ["-h"])
    return attempt(lambda: write(FIRST)) if helped else status


def app_of_all(tokens: list[str]) -> App:
    """Make the `steward` command; only the job that is called is imported."""
    summary = "Keep data stores in order: plan every change, guard it, apply it, undo it."
    app = App(
        name="steward", help=summary, version=own_version, group_commands=OPTIONS, suppress_keyboard_interrupt=False
    )
    for job in job_names():
        app.command(app_of(job, job, live=False) if tokens[:1] == [job] else listed(job))
    app.command(plan_app)
    return app


@cache
def panel_of(system: str) -> Group:
    """Return the panel of the list that a system's jobs are in: one for each, in the order of names."""
    return PLANS if system == OWN else Group(system, sort_key=1)


def listed(job: str) -> App:
    """Make what the list of jobs says of one."""
    old = OLD_NAMES.get(job)
    summary = f"{summary_of(job)} Old name: {old}." if old else summary_of(job)
    return App(name=job, group=panel_of(system_of(job)), help=summary)


def app_of(job: str, name: str, *, live: bool) -> App:
    """Make a job's command from its flow."""
    if "--verbose" not in sys.argv:
        os.environ.update(QUIET)
    os.environ.update(PLAIN)
    own = private_server()
    with imports_kept(), quiet_failure():
        from flows.command import runs_of, signature_of, store_given  # these import Prefect, which takes its time

        flow, reader = flow_of(job), reader_of(job)
    in_file = getattr(module_of(job), "IN_FILE", ())
    signature = signature_of(flow, live=live, reader=reader, in_file=in_file)

    def command(*args: Any, **options: Any) -> int:
        given = signature.bind(*args, **options).arguments
        json = given.pop("json", False)
        given.pop("verbose", None)
        level = given.pop("log_level", "WARNING")
        if path := given.pop("log_file", None):
            log_to(path, level)
        store = store_given(flow, given, reader)
        return call_each(flow, runs_of(flow, given, reader, live=live), own, store=store, json=json)

    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
    app = App(name=name, help=flow.fn.__doc__, version=own_version, suppress_keyboard_interrupt=False)
    app.default(command)
    return app


def call_each(
    flow: Flow[..., Report], runs: list[dict[str, Any]], own: PrivateServer | None, *, store: str, json: bool
) -> int:
    """Run a flow with each of these parameters, whatever becomes of the others; return the worst status."""
    watched = flow if needed() else flow.with_options(on_running=[link])  # a private server has no UI
    with server(runs, own):
        if len(runs) == 1:
            return call(watched, runs[0], store=store, json=json)
        statuses = []
        for number, arguments in enumerate(runs, 1):
            say(f"Run {number} of {len(runs)}, on {place_of(arguments)}")
            statuses.append(attempt(partial(call, watched, arguments, store=store, json=json)))
    return max(statuses, key=SEVERITY.index)


def place_of(arguments: dict[str, Any]) -> str:
    """Name the store of a run, without secrets."""
    store = next(iter(arguments.values()))
    return str(getattr(store, "location", store))


def call(flow: Flow[..., Report], arguments: dict[str, Any], *, store: str, json: bool) -> int:
    """Run a flow and show its report, whole or as far as it came."""
    shown: list[OutputFailed | None] = []

    def show_now(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
        """Show the report before Prefect waits, up to a second, for its heartbeat to end."""
        shown.append(shown_or_not(state.result(), store, json=json))

    with announced(store) as announcer:
        try:
            report = flow.with_options(on_completion=[show_now])(**arguments)
        except Exception as failure:
            # Where it is not ours, Prefect's server is gone, or what it answers; what the run did is done.
            done = failure.report if isinstance(failure, StewardError) else announcer.reported
            if done and not shown and (unwritten := shown_or_not(done, store, json=json)):
                say(str(unwritten))
            raise
    if unwritten := shown[0] if shown else shown_or_not(report, store, json=json):
        raise unwritten
    return DONE


def shown_or_not(report: Report, store: str, *, json: bool) -> OutputFailed | None:
    """Show a report; return why it cannot be written, where it cannot."""
    try:
        show(report, store, json=json)
    except OutputFailed as failure:
        return failure
    return None


def link(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001  # Prefect names them
    """Say where the run can be watched, once, where there is a UI."""
    from prefect.utilities.urls import url_for

    if flow_run.run_count <= 1 and (url := url_for(flow_run)):
        say(f"Run: {without_secrets(re.sub('(?<!:)//', '/', url))}")


def private_server() -> PrivateServer | None:
    """Start a private Prefect server where the environment names none, before Prefect is imported.

    That takes a second, and only then is it known whether the server is needed: Prefect's profiles too can name one.
    """
    return None if ASKS & set(sys.argv) or "PREFECT_API_URL" in os.environ else PrivateServer()


def server(runs: list[dict[str, Any]], own: PrivateServer | None) -> AbstractContextManager[None]:
    """Give the Prefect server that runs are tracked on: the one that is set, or a private one."""
    if not needed():
        if own:
            own.drop()
        return server_that_is_set()
    if any(run.get("approve") for run in runs):
        message = "--approve needs a Prefect server whose UI people can open to answer: set PREFECT_API_URL."
        raise BadInput(message)
    say("PREFECT_API_URL is not set: starting a private Prefect server for this run.")
    return (own or PrivateServer()).running()


def show(report: Report, store: str, *, json: bool) -> None:
    """Print a report: rows and what comes next for people, one JSON object for programs; raises OutputFailed."""
    from tasks.changes.report import headline

    LOG.info("%s %s", headline(report), report.plan)
    if json and report.objections and report.stage != "refused":  # the refusal says them itself
        say(f"A live run would be refused. {' '.join(report.objections)}")
    write(json_printable(report.model_dump_json()) if json else "\n".join(report_lines(report, store, paint())))


def attempt(act: Callable[[], int | None]) -> int:
    """Do something and turn a failure into its exit status."""
    try:
        return int(act() or DONE)
    except CycloptsError:  # it has been printed
        return USAGE
    except Exception as error:  # noqa: BLE001  # the last resort
        status, text = status_and_text(error)
    say(text)
    LOG.error(text)
    return status


def run(make: Callable[[], App], tokens: list[str]) -> int:
    """Make a command, which takes seconds where it imports Prefect, run it, and turn what happened into its status."""

    def act() -> int | None:
        check_text(tokens)
        check_certificates()
        app = make()
        escape_console()
        return called(app, tokens)

    open_streams()
    with terminable():
        try:
            status = attempt(act)
            return attempt(flush) or status
        except KeyboardInterrupt as interrupt:
            terminated = isinstance(interrupt, Terminated)
            say("Terminated." if terminated else "Interrupted.")
            return TERMINATED if terminated else INTERRUPTED


def called(app: App, tokens: list[str]) -> int | None:
    """Call a command, which may only print its help; raises OutputFailed where that cannot be written."""
    try:
        status: int | None = app(
            tokens, exit_on_error=False, error_formatter=panel_of_error, result_action="return_value"
        )
    except SystemExit:  # as Rich ends where `| head` has read enough
        return DONE
    except OSError as error:
        if tokens and not ASKS & set(tokens):
            raise
        message = f"The output cannot be written: {error.strerror}."
        raise OutputFailed(message) from error
    return status


def panel_of_error(error: CycloptsError) -> Panel:
    """Return what a wrong command line is told; it repeats what was typed."""
    return CycloptsPanel(printable_lines(str(error)))


def check_certificates() -> None:
    """Raise BadInput where the certificates that the environment names cannot be used, whoever would read them."""
    if file := os.environ.get("SSL_CERT_FILE"):
        try:
            ssl.create_default_context(cafile=file)
        except OSError as error:
            message = (
                f"SSL_CERT_FILE is {file}, which has no certificates to read: {error.strerror}. Correct or unset it."
            )
            raise BadInput(message) from error


def check_text(tokens: list[str]) -> None:
    """Raise BadInput where an argument is no text, which neither Prefect nor a plan can hold."""
    for token in tokens:
        if not token.isprintable() and any("\ud800" <= one <= "\udfff" for one in token):
            message = f"{without_secrets(token)} is no text: it has bytes that are not UTF-8."
            raise BadInput(message)
