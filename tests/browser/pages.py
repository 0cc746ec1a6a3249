"""The pages of Prefect's web UIs, used as a person uses them: the new one, which a browser gets first, and the old."""

import re
from dataclasses import dataclass
from typing import Any, Final

from playwright.sync_api import Error, Locator, Page, Request, expect

# What hides a part of a text from whoever scrolls down but not sideways, in each place where it is shown.
CUTTING: Final = """(text) => {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const start = node.data.indexOf(text);
        if (start < 0) continue;
        const range = document.createRange();
        range.setStart(node, start);
        range.setEnd(node, start + text.length);
        if (!range.getClientRects().length) continue;  // on another tab
        node.parentElement.scrollIntoView({block: "center"});
        const around = [];
        for (let one = node.parentElement; one !== document.documentElement; one = one.parentElement) around.push(one);
        for (const one of around) one.scrollLeft = 0;
        const clips = (style) => style.overflow !== "visible" && style.display !== "inline";
        for (const one of around.filter((one) => clips(getComputedStyle(one)))) {
            const box = one.getBoundingClientRect();
            const whole = (rect) => rect.left >= box.left - 1 && rect.right <= box.right + 1
                && rect.top >= box.top - 4 && rect.bottom <= box.bottom + 4;  // letters may be higher than their line
            if (![...range.getClientRects()].every(whole)) found.push(one.outerHTML.slice(0, 300));
        }
        if ([...range.getClientRects()].some((rect) => rect.right > innerWidth)) found.push("the window");
    }
    return found;
}"""
CHANGED: Final = "net::ERR_NETWORK_CHANGED"
TRIES: Final = 5
PATIENCE: Final = 20_000  # milliseconds
DONE: Final = "() => [...document.images].every((one) => one.complete)"
LOADED: Final = "() => [...document.images].every((one) => one.naturalWidth > 0)"


@dataclass(frozen=True)
class Ui:
    """One of the two web UIs of Prefect 3.8."""

    name: str
    root: str

    def __str__(self) -> str:
        return self.name


OLD: Final = Ui("old", "/")
NEW: Final = Ui("new", "/v2/")


def visit(page: Page, address: str, wanted: Locator) -> None:
    """Go to a page and wait for what is wanted of it.

    Once more where Chromium dropped a part of it, as it does whenever a network comes or goes on the machine, such as a
    container's.
    """
    dropped: list[Request] = []
    page.on("requestfailed", lambda request: dropped.append(request) if request.failure == CHANGED else None)
    for _ in range(TRIES):
        dropped.clear()
        try:
            page.goto(address)
            wanted.first.wait_for(timeout=PATIENCE)
        except Error:
            if not dropped:
                raise
        else:
            return
    raise AssertionError(f"{address}: the networks of this machine do not stay as they are")


def cut_off(page: Page, text: str) -> list[str]:
    """Return what hides a part of a text that is on the page."""
    page.get_by_text(text).filter(visible=True).first.wait_for()
    found: list[str] = page.evaluate(CUTTING, text)
    return found


def has_all_its_pictures(page: Page) -> bool:
    """Whether there is at least one picture on a page, and none is missing."""
    page.locator("img").first.wait_for()
    page.wait_for_function(DONE)
    return bool(page.evaluate(LOADED))


class Form:
    """The form that starts a run of a deployment."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.button = page.get_by_role("button", name="Submit")
        visit(page, address, self.button)

    def field(self, name: str) -> Locator:
        """Find a parameter: its name, its description, and what its value is typed into."""
        label = self.page.locator("label", has_text=re.compile(rf"^{name}( \(Optional\))?$"))
        return self.page.locator(".schema-form-property, div.group").filter(has=label).last

    def turn(self, name: str) -> None:
        """Click a switch."""
        self.field(name).get_by_role("switch").click()

    def fill(self, name: str, text: str) -> None:
        """Type a value, and leave the field, as a page moves its buttons when it takes an objection back."""
        box = self.field(name).locator("input, textarea").first
        box.fill(text)
        box.blur()

    def submit(self) -> dict[str, Any]:
        """Start the run, and return it as the server made it."""
        with self.page.expect_response(lambda answer: answer.url.endswith("/create_flow_run") and answer.ok) as asked:
            self.button.click()
        run: dict[str, Any] = asked.value.json()
        return run


class RunPage:
    """The page of a run."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.dialog = page.get_by_role("dialog")
        visit(page, address, page.get_by_text("Artifacts", exact=True))

    def question(self) -> Locator:
        """Open the form that a paused run asks its question with."""
        button = self.page.get_by_role("button", name="Resume")
        menu = self.page.locator("[data-slot=dropdown-menu-trigger]")
        button.or_(menu).first.click()
        item = self.page.get_by_role("menuitem", name="Resume")
        self.dialog.or_(item).first.wait_for()
        if item.is_visible():
            item.click()
        expect(self.dialog).to_contain_text("Plan Hash")
        return self.dialog

    def approve(self) -> None:
        """Say yes to the question that is open."""
        self.dialog.get_by_role("switch").click()
        self.dialog.get_by_role("button", name=re.compile("^(Submit|Resume)$")).click()
        expect(self.dialog).to_be_hidden()

    def artifact(self, key: str) -> None:
        """Go on to one of the run's artifacts; the new pages first list all of its key."""
        tab = self.page.get_by_role("tab", name="Artifacts")
        tab.or_(self.page.get_by_text("Artifacts", exact=True)).first.click()
        self.page.locator("a", has_text=key).first.click()
        self.page.wait_for_url("**/artifacts/**")
        if "/key/" in self.page.url:
            self.page.locator("a[href*='/artifacts/artifact/']").first.click()
            self.page.wait_for_url("**/artifacts/artifact/**")
        # The address is there before the page is.
        raw = self.page.get_by_role("button", name="Show raw data").or_(self.page.get_by_role("tab", name="Raw"))
        raw.first.wait_for()
