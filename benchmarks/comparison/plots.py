"""Draws a benchmark's plots for the documentation, from its JSON file. Runs in an environment of its own.

.venv-plots/bin/python benchmarks/comparison/plots.py FILE
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
from matplotlib import pyplot, ticker

IMAGES = Path(__file__).parents[2] / "docs" / "images"
#: Colours that people with a colour vision deficiency can tell apart (Okabe and Ito), and that differ in grey.
COLOURS = {
    "command": "#0072B2",
    "deployed": "#56B4E9",
    "az": "#D55E00",
    "az, 8 at once": "#E69F00",
    "bare script": "#009E73",
}
_NAMES = {"command": "pratique prepare", "deployed": "deployed run"}

Runs = Mapping[tuple[str, int], Mapping[str, Any]]


def read(path: Path) -> Runs:
    """The run of median duration for each contender and number of images."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for run in json.loads(path.read_text())["runs"]:
        if not run["error"]:
            groups.setdefault((run["contender"], run["images"]), []).append(run)
    return {key: _middle(runs) for key, runs in groups.items()}


def _middle(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    middle = median(run["seconds"] for run in runs)
    return min(runs, key=lambda run: abs(run["seconds"] - middle))


def wall(runs: Runs) -> Any:
    """Minutes at Azure's pace against the number of images."""
    figure, axes = pyplot.subplots(figsize=(7, 4))
    _curves(axes, runs, lambda run: run["at_azure_pace"] / 60)
    limits = sorted({(images, run["limit"] * run["speed"] / 60) for (_, images), run in runs.items()})
    axes.plot(*zip(*limits, strict=True), color="black", linestyle="--", label="critical path of Azure's times")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="images",
        ylabel="minutes, at Azure's pace",
        title="Time to prepare a cluster",
    )
    _plain(axes, runs)
    axes.set_yticks([30, 40, 50, 60, 120, 240][: 6 if axes.get_ylim()[1] > 70 else 4])
    axes.legend()
    return figure


def processor(runs: Runs) -> Any:
    """CPU seconds an image against the number of images."""
    figure, axes = pyplot.subplots(figsize=(7, 4))
    _curves(axes, runs, lambda run: sum(run["usage"][kind] for kind in ("flow", "server", "children")) / run["images"])
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="images",
        ylabel="CPU seconds an image",
        title="Processor time, without the local Azure",
    )
    _plain(axes, runs)
    axes.set_yticks([0.1, 0.2, 0.5, 1, 2, 5])
    axes.legend()
    return figure


def _curves(axes: Any, runs: Runs, value: Callable[[Mapping[str, Any]], float]) -> None:
    """Draw a value of each contender against the number of images."""
    for contender, colour in COLOURS.items():
        points = sorted((images, value(run)) for (name, images), run in runs.items() if name == contender)
        if points:
            label = _NAMES.get(contender, contender)
            axes.plot(*zip(*points, strict=True), marker="o", color=colour, label=label)


def _plain(axes: Any, runs: Runs) -> None:
    """Number both axes in plain numbers, the horizontal one by the sizes that were measured."""
    axes.set_xticks(sorted({images for _, images in runs}))
    axes.minorticks_off()
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))


def requests(runs: Runs) -> Any:
    """Requests by kind, of each contender, for the largest number of images that the bare script has."""
    images = max(images for name, images in runs if name == "bare script")
    shown = [name for name in COLOURS if (name, images) in runs]
    kinds = sorted({kind for name in shown for kind in runs[name, images]["requests"]})
    figure, axes = pyplot.subplots(figsize=(7, 4))
    start = [0.0] * len(shown)
    for number, kind in enumerate(kinds):
        counts = [runs[name, images]["requests"].get(kind, 0) / images for name in shown]
        shade = pyplot.get_cmap("cividis")(number / max(1, len(kinds) - 1))
        axes.barh([_NAMES.get(name, name) for name in shown], counts, left=start, color=shade, label=kind)
        start = [before + count for before, count in zip(start, counts, strict=True)]
    axes.set(xlabel="requests an image", title=f"Requests to Azure, {images} images")
    axes.legend(fontsize="small", ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--folder", type=Path, default=IMAGES)
    options = parser.parse_args()
    matplotlib.use("svg")
    # Without dates and random ids, so that equal figures give equal files.
    matplotlib.rcParams["svg.hashsalt"] = "pratique"
    runs = read(options.results)
    for name, draw in (("wall", wall), ("processor", processor), ("requests", requests)):
        figure = draw(runs)
        figure.savefig(options.folder / f"performance-{name}.svg", bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
