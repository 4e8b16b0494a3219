"""Prefect's UI as a person uses it, in Debian's Chromium."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import httpx
from playwright.sync_api import Locator, Page, expect

from tests.processes import PATIENCE_SECONDS

#: Milliseconds that anything may take to show: tests assert what is shown, not how soon.
PATIENCE = PATIENCE_SECONDS * 1000


@dataclass
class Ui:
    """One tab of the browser.

    :ivar address: of the UI
    :ivar folder: gets a screenshot of each step, numbered
    """

    page: Page
    address: str
    folder: Path
    name: str
    _shots: int = 0

    def look(self, what: str) -> None:
        """Keep what is to be seen."""
        self._shots += 1
        self.page.screenshot(path=self.folder / f"{self.name}-{self._shots}-{what}.png")

    @property
    def main(self) -> Locator:
        """The page without its menu."""
        return self.page.locator("main")

    # Starting a run

    def open_form(self, deployment: str) -> None:
        """From the front page to the deployment's form: Run > Custom run."""
        self.page.goto(self.address)
        self.page.get_by_role("link", name="Deployments").click()
        self.main.get_by_role("link", name=deployment, exact=True).click()
        self.main.get_by_role("button", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Custom run").click()
        expect(self.main.get_by_role("button", name="Submit")).to_be_visible()

    def fill(self, field: str, value: str, nth: int = 0) -> None:
        """Overwrite a text of the form.

        :param nth: which of the fields of that name
        """
        self.main.get_by_role("textbox", name=field, exact=True).nth(nth).fill(value)

    def submit(self) -> None:
        """Press Submit, and again when SQLite was busy, as Prefect's client does and a person would."""
        status = httpx.codes.SERVICE_UNAVAILABLE.value
        while status == httpx.codes.SERVICE_UNAVAILABLE:
            with self.page.expect_response("**/create_flow_run") as answered:
                self.main.get_by_role("button", name="Submit").click()
            status = answered.value.status

    # A run's page

    def open_run(self, run: str) -> None:
        """By its link, in whatever list is to be seen."""
        self.main.locator(f'a[href*="{run}"]').first.click()
        self.page.wait_for_url(f"**/flow-run/{run}**")
        self.open_tab("Logs")

    def go_to_run(self, run: str) -> None:
        """By its address, as the log and notifications give it."""
        self.page.goto(f"{self.address}/v2/runs/flow-run/{run}")
        self.open_tab("Logs")

    def open_tab(self, name: str) -> None:
        self.main.get_by_role("tab", name=name).click()

    def until_state(self, name: str) -> None:
        """Watch the run's page, which is at its log, without loading it anew."""
        expect(self.main.get_by_text(name, exact=True).first).to_be_visible()

    def choose(self, item: str) -> Locator:
        """An item of the run's menu; gives the window that it opens."""
        self.main.get_by_role("button", name="Open menu").last.click()
        self.page.get_by_role("menuitem", name=item, exact=True).click()
        window = self.page.get_by_role("dialog").or_(self.page.get_by_role("alertdialog"))
        expect(window).to_be_visible()
        return window

    def task_runs(self) -> list[str]:
        """Names of all task runs, over all pages of the tab."""
        self.open_tab("Task Runs")
        panel = self.main.get_by_role("tabpanel", name="Task Runs")
        links, names = panel.locator('a[href*="/task-run/"]'), list[str]()
        position = panel.get_by_text(re.compile(r"Page \d+ of \d+"))
        for number in range(1, 100):
            expect(position).to_have_text(re.compile(f"Page {number} of"))
            expect(links.first).to_be_visible()
            names += links.all_inner_texts()
            following = panel.get_by_role("button", name="Go to next page")
            if following.is_disabled():
                break
            before = links.first.inner_text()
            following.click()
            expect(links.first).not_to_have_text(before)
        return names

    def open_artifact(self, key: str) -> Locator:
        """The newest version of one of the run's artifacts; gives where its content is."""
        self.open_tab("Artifacts")
        self.main.get_by_role("heading", name=key, exact=True).click()
        self.main.locator('a[href*="/artifacts/artifact/"]').first.click()
        return self.main.get_by_role("tabpanel", name="Artifact")
