"""What an operator sees and does in the browser: forms, the approval, the report, logos; in both of Prefect's UIs."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from deployments import block_documents, lint
from tests.browser.pages import NEW, OLD, Form, RunPage, Ui, cut_off, has_all_its_pictures, visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.conftest import Address, Api
    from tests.deployments.conftest import Deployed

ROOT = Path(__file__).parents[2]
TYPES = block_documents.block_types()
ALL = sorted(lint.check(ROOT, TYPES, {}).deployments)
SCREENS = pytest.mark.parametrize("ui", [NEW, OLD], ids=str)


def deployment(api: Api, name: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"deployments/name/{name}")
    return found


def form_of(page: Page, api: Api, at: Address, ui: Ui, name: str) -> Form:
    return Form(page, at(ui, f"deployments/deployment/{deployment(api, name)['id']}/run"))


def documents_in(value: Any) -> list[str]:
    """The ids of the blocks that a parameter refers to."""
    if isinstance(value, list):
        return [document for one in value for document in documents_in(one)]
    return [value["$ref"]["block_document_id"]] if isinstance(value, dict) and "$ref" in value else []


@SCREENS
@pytest.mark.parametrize("name", ALL)
def test_a_form_describes_its_parameters_and_submits(page: Page, api: Api, at: Address, ui: Ui, name: str) -> None:
    stored = deployment(api, name)
    schema, given = stored["parameter_openapi_schema"], stored["parameters"]
    form = form_of(page, api, at, ui, name)
    for parameter, described in schema["properties"].items():
        expect(form.field(parameter)).to_contain_text(described["description"])
        for document in documents_in(given.get(parameter)):
            picker = form.field(parameter)
            expect(picker).to_contain_text(api.get(f"block_documents/{document}")["name"])
            expect(picker.locator("img").first).to_be_visible()
    assert has_all_its_pictures(page)
    typed = {parameter: "some.plan.zst" for parameter in schema["required"] if parameter not in given}
    assert typed.keys() <= {"plan"}
    for parameter, text in typed.items():
        missing = f"'{parameter}' is a required property"
        form.button.click()
        expect(form.field(parameter)).to_contain_text(missing)
        form.fill(parameter, text)
        expect(form.field(parameter)).not_to_contain_text(missing)

    run = api.get(f"flow_runs/{form.submit()['id']}")
    api.delete(f"flow_runs/{run['id']}")
    assert run["deployment_id"] == stored["id"]
    assert run["state_type"] == "SCHEDULED"
    assert {parameter: run["parameters"][parameter] for parameter in given | typed} == given | typed


@SCREENS
def test_a_wrong_value_is_refused_where_it_is_typed(page: Page, api: Api, at: Address, ui: Ui) -> None:
    form = form_of(page, api, at, ui, "hmap-clean/on-demand")
    form.fill("min_age", "soon")
    form.button.click()
    refusal = page.get_by_text("Validation failed for field 'min_age'. Failure reason: 'soon' does not match")
    expect(refusal.first).to_be_visible()


@SCREENS
@pytest.mark.parametrize("slug", TYPES)
def test_a_block_has_its_logo(page: Page, api: Api, at: Address, ui: Ui, slug: str) -> None:
    (document, *_) = api.get(f"block_types/slug/{slug}/block_documents")
    visit(page, at(ui, f"blocks/block/{document['id']}"), page.locator("img"))
    expect(page.locator("img")).to_have_attribute("src", document["block_type"]["logo_url"])
    assert has_all_its_pictures(page)


@pytest.mark.usefixtures("worker")
def test_a_run_is_approved_and_reports(
    page: Page, api: Api, at: Address, deployed: Deployed, until: Callable[..., None]
) -> None:
    deployed.datashare.gone(3)
    form = form_of(page, api, at, NEW, "hmap-clean/on-demand")
    form.turn("dry_run")
    form.turn("approve")
    run_id = form.submit()["id"]
    until(lambda: api.get(f"flow_runs/{run_id}")["state_type"] == "PAUSED")
    (plan,) = Path(deployed.environment["STEWARD_PLANS"]).iterdir()

    for ui in (OLD, NEW):
        shown = RunPage(page, at(ui, f"runs/flow-run/{run_id}"))
        question = shown.question()
        expect(question).to_contain_text("3 of 53 records would change")
        expect(question).to_contain_text("archive is gone")
        expect(question).to_contain_text("turn on Approve at the end")
        assert cut_off(page, plan.name) == []
    assert len(deployed.datashare.tasks) == 53
    shown.approve()

    until(lambda: api.get(f"flow_runs/{run_id}")["state_type"] == "COMPLETED")
    assert len(deployed.datashare.tasks) == 50
    keys = [artifact["key"] for artifact in api.post("artifacts/filter", flow_runs={"id": {"any_": [run_id]}})]
    assert "hmap-clean-report" in keys
    for ui, key in product((OLD, NEW), keys):
        shown = RunPage(page, at(ui, f"runs/flow-run/{run_id}"))
        expect(page.locator("body")).to_contain_text("Completed")
        shown.artifact(key)
        expect(page.locator("body")).to_contain_text("3 of 3 planned changes made, 0 conflicts.")
        assert cut_off(page, plan.name) == []
