"""Alerts as code: the same four automations for every run tagged `steward`, each changed only where it differs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from prefect.automations import (
    AutomationCore,
    ChangeFlowRunState,
    EventTrigger,
    Posture,
    SendNotification,
)
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes
from prefect.events.schemas.automations import Automation
from prefect.events.schemas.events import ResourceSpecification

from deployments.api import ui_url

TAG = "steward"
NOT_STARTED = timedelta(minutes=15)
NO_HEARTBEAT = timedelta(minutes=9)  # three of Prefect's heartbeats of 180 s

# The names of events, `prefect.flow-run.<name>`. Only `run_failed` listens to those of FAILED: Prefect evaluates all
# listeners of an event in one go, and when its database is busy (SQLite) it goes over all of them again, those that
# had already fired included. The others do not miss them: a run that has ended cannot be crashed any more.
FAILED = ("Failed", "Crashed", "TimedOut")
CANCELLED = ("Cancelling", "Cancelled")
QUEUED = (
    "Scheduled",
    "Late",
    "AwaitingConcurrencySlot",
    "AwaitingRetry",
    "Suspended",
)  # there is no process, nor need be

OF_THE_SERVER = {"id", "enabled"}  # what an automation has that the code does not say

# What a run is called and what it failed with may hold others' words. Slack makes links and calls of `<…>`, a mail
# makes HTML of it; in the style of code, nothing else acts either.
INERT = ' | replace("<", "\u2039") | replace(">", "\u203a") | replace("`", "\u2019")'
FIRST_LINE = f'`{{{{ (flow_run.state.message or "no message").strip().split("\\n")[0]{INERT} }}}}`'
NAME = f'{{{{ flow_run.name{INERT} | replace("*", "\u2217") | replace("](", "] (") | replace("\\n", " ") | trim }}}}'


def run_failed(channels: Sequence[UUID]) -> AutomationCore:
    """Return the alert of a run that ended badly: one message per run and channel."""
    return AutomationCore(
        name="steward: run failed",
        description="A run failed, crashed or timed out.",
        trigger=_trigger(Posture.Reactive, FAILED),
        actions=_messages(channels, "{{ flow_run.state.name }}", FIRST_LINE),
    )


def run_late(channels: Sequence[UUID], within: timedelta = NOT_STARTED) -> AutomationCore:
    """Return the alert of a run that is due and that no worker takes; it stays in the queue."""
    # Late alone is no alert: a run is late after 15 s, which a busy worker makes good.
    advice = f"Not started within {within}. Is a worker running? `prefect worker start --pool steward`"
    return AutomationCore(
        name="steward: run late",
        description=f"A run was late by {within} and no worker took it.",
        trigger=_trigger(Posture.Proactive, ("Pending", "Running", *CANCELLED), after=("Late",), within=within),
        actions=_messages(channels, "late", advice),
    )


def pending_crashed(within: timedelta = NOT_STARTED) -> AutomationCore:
    """Return what crashes a run that a worker took and never started, which `run_failed` then reports.

    Left alone it would hold its deployment's only slot, and every later run would be cancelled.
    """
    reason = f"Taken by a worker and not started within {within}: read the worker's log, then run it again."
    expect = ("Running", "Completed", *CANCELLED, *QUEUED)
    return AutomationCore(
        name="steward: stuck in pending",
        description=f"A run was pending for {within}.",
        trigger=_trigger(Posture.Proactive, expect, after=("Pending",), within=within),
        actions=[_crash(reason)],
    )


def zombie_crashed(within: timedelta = NO_HEARTBEAT) -> AutomationCore:
    """Return what crashes a run that says Running and whose process is gone, which `run_failed` then reports."""
    reason = f"No heartbeat for {within}: its process was killed or lost its connection. Run it again."
    expect = ("heartbeat", "Completed", *CANCELLED, *QUEUED)
    return AutomationCore(
        name="steward: zombie",
        description=f"A running flow gave no sign of life for {within}.",
        trigger=_trigger(Posture.Proactive, expect, after=("heartbeat",), within=within),
        actions=[_crash(reason)],
    )


def automations(channels: Sequence[UUID]) -> list[AutomationCore]:
    """List what to upsert: without a channel only those that need none; the others stay as the server has them."""
    silent = [pending_crashed(), zombie_crashed()]
    return [run_failed(channels), run_late(channels), *silent] if channels else silent


def read_automation(client: SyncPrefectClient, name: str) -> Automation | None:
    """Return the automation of a name, or None."""
    return next(iter(client.read_automations_by_name(name)), None)


def is_as(stored: Automation | None, automation: AutomationCore) -> bool:
    """Return whether an automation on the server is as the code has it."""
    wanted = automation.model_dump(exclude=OF_THE_SERVER)
    return stored is not None and stored.model_dump(exclude=OF_THE_SERVER) == wanted


def upsert_automation(client: SyncPrefectClient, automation: AutomationCore) -> str:
    """Create the automation, or make the one of the same name equal to it; a paused one stays paused.

    One that is equal is not touched: an update makes Prefect forget what it was waiting for, and a run that hangs
    would never be told of.
    """
    existing = client.read_automations_by_name(automation.name)
    if not existing:
        client.create_automation(automation)
        return f"alert {automation.name!r}: created"
    stored = existing[0]
    note = "" if stored.enabled else " (paused on the server, left paused)"
    if (number := len(existing)) > 1:
        note += f" (there are {number} of this name, which tell of everything {number} times: delete the others)"
    if is_as(stored, automation):
        return f"alert {automation.name!r}: unchanged{note}"
    client.update_automation(stored.id, automation.model_copy(update={"enabled": stored.enabled}))
    return f"alert {automation.name!r}: updated{note}"


def _trigger(
    posture: Literal[Posture.Reactive, Posture.Proactive],
    expect: Sequence[str],
    after: Sequence[str] = (),
    within: timedelta = timedelta(0),
) -> EventTrigger:
    return EventTrigger(
        posture=posture,
        after=_events(after),
        expect=_events(expect),
        match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        match_related=ResourceSpecification(
            {"prefect.resource.id": f"prefect.tag.{TAG}", "prefect.resource.role": "tag"}
        ),
        for_each={"prefect.resource.id"},
        threshold=1,
        within=within,
    )


def _events(names: Sequence[str]) -> set[str]:
    return {f"prefect.flow-run.{name}" for name in names}


def _crash(reason: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=reason, force=False)


def _messages(channels: Sequence[UUID], what: str, line: str) -> list[ActionTypes]:
    # The link is made here, where the UI's address is known: the server's own `ui_url` filter gives None unless
    # PREFECT_UI_URL or PREFECT_API_URL is set in the server's environment, which nothing else needs.
    link = f"{ui_url()}/runs/flow-run/{{{{ flow_run.id }}}}"
    subject = f"{{{{ flow.name }}}} {what}: {NAME}"
    body = f"{line}\n{link}"
    return [SendNotification(block_document_id=channel, subject=subject, body=body) for channel in channels]
