"""Opens a run's page in Debian's Chromium, measures when its content appears, and takes a screenshot."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import ViewportSize, sync_playwright

#: Timeout for the page in seconds.
_PATIENCE_SECONDS = 900.0
_WINDOW = ViewportSize(width=1600, height=1200)
#: The last option keeps the browser on loopback.
_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
#: Records in ``window.shown`` when content appears, in milliseconds since the page was opened. The graph's nodes are
#: the only coloured pixels above the strip of events and states at its bottom; before them, lines and text are grey.
_WATCH = """
const getContext = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, options) {
    return getContext.call(this, kind, {...options, preserveDrawingBuffer: true});  // or it could not be read below
};
function hasNodes(graph) {
    const picture = new OffscreenCanvas(graph.width, graph.height).getContext("2d");
    picture.drawImage(graph, 0, 0);
    const pixels = picture.getImageData(0, 0, graph.width, graph.height - 40).data;
    let coloured = 0;
    for (let at = 0; at < pixels.length; at += 4) {
        const red = pixels[at], green = pixels[at + 1], blue = pixels[at + 2];
        coloured += Math.max(red, green, blue) - Math.min(red, green, blue) > 60;
    }
    return coloured > 20;
}
window.shown = {};
const watch = setInterval(() => {
    const graph = document.querySelector("main canvas");
    if (!shown.taskRuns && document.querySelector('[role=tabpanel] a[href*="/task-run/"]')) {
        shown.taskRuns = performance.now();
    }
    if (!shown.graph && graph?.height > 40 && hasNodes(graph)) {
        shown.graph = performance.now();
    }
    if (shown.graph && shown.taskRuns) {
        clearInterval(watch);
    }
}, 200);
"""
_ALL_SHOWN = "() => shown.graph && shown.taskRuns && shown"


@dataclass(frozen=True)
class PageView:
    """When the page's content appeared, in seconds since the page was opened.

    :ivar graph_seconds: the graph's nodes
    :ivar task_runs_seconds: the first page of task runs
    """

    graph_seconds: float
    task_runs_seconds: float


def chromium() -> str:
    """Path of Chromium.

    :raises SystemExit: when it is missing
    """
    path = shutil.which("chromium")
    if path is None:
        raise SystemExit("a screenshot needs Chromium: apt-get install chromium")
    return path


def view_page(url: str, screenshot: Path) -> PageView:
    """Open a run's page, wait until it shows the graph and the task runs, and take a screenshot.

    :raises playwright.sync_api.TimeoutError: when it does not show them
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=_OPTIONS)
        page = browser.new_page(viewport=_WINDOW)
        page.set_default_timeout(_PATIENCE_SECONDS * 1000)
        page.add_init_script(_WATCH)
        page.goto(f"{url}?tab=TaskRuns")
        shown = page.wait_for_function(_ALL_SHOWN).json_value()
        page.screenshot(path=screenshot)
        browser.close()
    return PageView(shown["graph"] / 1000, shown["taskRuns"] / 1000)
