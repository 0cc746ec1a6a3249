"""What a run is called, and what it failed with, is no mark-up in an alert; a link has one slash."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from prefect.events.actions import SendNotification
from prefect.server.utilities.user_templates import render_user_template_sync
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL, temporary_settings

from deployments import alerts, block_documents
from deployments.api import ui_url

ODD = "<!channel> <http://b|a> *b* `c` [d](http://e)\r\nBcc: x@y <img src=x onerror=y>"


@pytest.fixture(params=["http://prefect/", "http://prefect"])
def ui(request: pytest.FixtureRequest) -> Iterator[str]:
    with temporary_settings({PREFECT_UI_URL: request.param}):
        yield "http://prefect"


def rendered(ui: str, name: str, message: str) -> tuple[str, str]:
    """Return the subject and the body of the alert of a failed run."""
    (action,) = alerts.run_failed([uuid4()]).actions
    assert isinstance(action, SendNotification)
    state = {"name": "Failed", "message": message}
    run = {"flow": {"name": "hmap-clean"}, "flow_run": {"name": name, "id": "1", "state": state}, "ui": ui}
    return render_user_template_sync(action.subject, run), render_user_template_sync(action.body, run)


def test_markup_in_a_runs_name_or_message_does_not_act(ui: str) -> None:
    subject, body = rendered(ui, ODD, ODD)
    for text in (subject, body):
        assert not set("<>") & set(text)
    assert "\n" not in subject
    assert "](" not in subject
    assert "*" not in subject
    line, link = body.split("\n")
    assert (line[0], line[-1], line.count("`")) == ("`", "`", 2)
    assert link == f"{ui}/runs/flow-run/1"


def test_plain_words_stay(ui: str) -> None:
    subject, body = rendered(ui, "live redis://redis:6379/0", "Refused: no folder /srv/a_b")
    assert subject == "hmap-clean Failed: live redis://redis:6379/0"
    assert body == f"`Refused: no folder /srv/a_b`\n{ui}/runs/flow-run/1"


def test_r8_links_have_one_slash(ui: str) -> None:
    assert ui_url() == ui
    with temporary_settings({PREFECT_API_URL: f"{ui}/api/"}, restore_defaults={PREFECT_UI_URL}):
        assert ui_url() == ui
    assert block_documents.ui_url is ui_url
