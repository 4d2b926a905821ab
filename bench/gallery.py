"""Draw the README's pictures of a fitted mixture and of a selection, from the data that fastgmm ships.

Run `python bench/gallery.py bench/results`. The same library versions draw the same pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fastgmm import select
from fastgmm.datasets import load_faithful, load_iris
from fastgmm.plotting import DensityDisplay, PairsDisplay
from fastgmm.plotting.style import Display

DOTS = 200  # per inch: twice the 500 pixels at which they are shown


def pictures() -> dict[str, Display]:
    """The pictures by name: what the README's lines draw."""
    iris, faithful = load_iris(), load_faithful()
    flowers = select(iris.data, 3, random_state=0)
    eruptions = select(faithful.data, random_state=0)
    return {
        "pairs": PairsDisplay.from_estimator(flowers.best_estimator_, iris.data, feature_names=iris.feature_names),
        "selection": eruptions.plot(),
        "density": DensityDisplay.from_estimator(
            eruptions.best_estimator_, faithful.data, feature_names=faithful.feature_names
        ),
    }


def main() -> None:
    """Draw them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the PNG files go")
    folder = parser.parse_args().folder
    for name, display in pictures().items():
        display.figure_.get_figure(root=True).savefig(folder / f"{name}.png", dpi=DOTS, metadata={"Software": None})


if __name__ == "__main__":
    main()
