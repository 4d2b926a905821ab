"""Draw the README's picture from the JSON that compare.py wrote, in one run or in several.

Run `python bench/picture.py result.json speed.png`, or with more records in front of the picture.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for `python -P`

from comparison import summary
from comparison.peers import SKLEARN
from comparison.rounds import Spread, geometric_mean
from comparison.tables import case_name

WIDTH, DOTS = 5.0, 200  # inches and dots per inch: twice the 500 pixels at which it is shown
STYLES = {  # colors of Okabe and Ito, told apart with any color vision; shapes say the same again
    SKLEARN: ("scikit-learn, better setting", "o", "#0072B2", "#0072B2"),
    "as it comes": ("scikit-learn, as it comes", "o", "white", "#56B4E9"),
    "oneDAL": ("oneDAL", "s", "#D55E00", "#D55E00"),
    "Armadillo": ("Armadillo", "^", "#009E73", "#009E73"),
}
ITERATION = "EM iteration, full covariance, float64: N, D, K"
STRUCTURE = "EM iteration, other models: mean over the cases"
FIT = "Whole fit to scikit-learn's likelihood: data, K"


class Row(NamedTuple):
    """A line of the picture: the panel it is in, what it says, and ratios by series."""

    panel: str
    label: str
    ratios: dict[str, Spread]


def rows(record: dict[str, Any]) -> Iterator[Row]:
    """Full covariance in double precision case by case, means for the rest, whole fits to the same likelihood."""
    threads = record["surroundings"]["threads"]
    cells = record.get("iterations", [])
    for cell in summary.group(cells, "full", "float64"):
        yield Row(ITERATION, case_name(cell["case"]), against(cell, threads))
    for structure, dtype in summary.kinds(cells):
        if (structure, dtype) != ("full", "float64"):
            group = [against(cell, threads) for cell in summary.group(cells, structure, dtype)]
            series = {name: [ratios[name].median for ratios in group if name in ratios] for name in STYLES}
            means = {name: geometric_mean(values) for name, values in series.items() if values}
            yield Row(STRUCTURE, f"{structure}, {dtype}", {name: Spread(m, m, m) for name, m in means.items()})
    for problem in record.get("fits", []):
        found = summary.fit_ratios(problem)
        names = {"same likelihood": SKLEARN, "as it comes": "as it comes"}
        label = f"{problem['name']}, {problem['n_components']}"
        yield Row(FIT, label, {names[key]: value for key, value in found.items() if key in names})


def joined(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The cells and fits of several records, under the surroundings of the first."""
    parts = ("iterations", "fits")
    return {**records[0], **{part: [cell for record in records for cell in record.get(part, [])] for part in parts}}


def against(cell: summary.Cell, threads: int) -> dict[str, Spread]:
    """Ratios of one cell, by series."""
    return {name: summary.ratio(cell, s, threads) for name, s in summary.rivals(cell, threads).items()}


def draw(record: dict[str, Any], path: Path) -> None:
    """One panel below the other, dots with quartiles on one logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    lines = list(rows(record))
    panels = list(dict.fromkeys(row.panel for row in lines))
    if not panels:
        sys.exit("the record has neither iterations nor whole fits: run compare.py with --parts a,b")
    counts = [sum(row.panel == panel for row in lines) for panel in panels]
    height = 0.235 * sum(counts) + 0.35 * len(panels) + 1.15
    figure, axes = pyplot.subplots(
        len(panels),
        figsize=(WIDTH, height),
        sharex=True,
        squeeze=False,
        gridspec_kw={"height_ratios": counts},
        layout="constrained",
    )
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        fill(axis, panel, [row for row in lines if row.panel == panel])
    last = axes[-1, 0]
    last.set_xscale("log")
    last.xaxis.set_major_formatter("{x:g}×")
    last.set_xlabel(f"time as a multiple of fastgmm's, {record['surroundings']['threads']} threads")
    handles = {
        label: line for axis in axes[:, 0] for line, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside upper center", ncols=2, frameon=False, handletextpad=0.2)
    figure.savefig(path, dpi=DOTS)


def fill(axis: Any, panel: str, lines: list[Row]) -> None:
    """Draw one panel."""
    heights = range(len(lines), 0, -1)
    for name, (label, marker, face, edge) in STYLES.items():
        points = [(row.ratios[name], height) for row, height in zip(lines, heights, strict=True) if name in row.ratios]
        if points:
            spreads, at = zip(*points, strict=True)
            center = [s.median for s in spreads]
            quartiles = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
            axis.errorbar(center, at, xerr=quartiles, fmt="none", ecolor=edge, elinewidth=1.2)
            axis.plot(center, at, marker, label=label, mfc=face, mec=edge, mew=1.4, ms=6.5)
    axis.set_yticks(list(heights), [row.label for row in lines])
    axis.set_ylim(0.4, len(lines) + 0.6)
    axis.tick_params(axis="y", length=0)
    axis.axvline(1, color="black", linewidth=1)
    axis.grid(axis="x", which="major", color="0.85")
    axis.set_axisbelow(True)
    axis.set_title(panel, fontsize=9, fontweight="bold", loc="left")


def main() -> None:
    """Read the record, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path, nargs="+", help="JSON written by compare.py --output")
    parser.add_argument("picture", type=Path, help="file to draw, for instance speed.png")
    options = parser.parse_args()
    draw(joined([json.loads(path.read_text()) for path in options.records]), options.picture)


if __name__ == "__main__":
    main()
