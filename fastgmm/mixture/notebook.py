"""What notebooks show of an estimator and of a selection: small HTML that needs nothing but itself.

Colors are those of the notebook's theme where it names them (Jupyter, VS Code), else of the reader's system.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import count
from typing import Any

import numpy as np

from ..text import counted, places, quoted, shortened
from .attributes import names_of, standard_deviations

__all__ = ["components", "escape", "framed", "parameters", "rest", "table"]

ROWS, COLUMNS = 10, 8  # of a table, at most
VALUE, NAME = 80, 24  # characters of a value and of a name that are shown

LIGHT = "--text: #1f2328; --faint: #59636e; --line: #d1d9e0; --ground: #ffffff; --mark: #fff1d6"
DARK = "--text: #e6edf3; --faint: #9198a1; --line: #3d444d; --ground: #151b23; --mark: #4a3512"
STYLE = """
#ID { LIGHT; display: inline-block; max-width: 100%; padding: .5em .75em; border: 1px solid var(--line);
  border-radius: 4px; overflow-x: auto; font-size: 13px; line-height: 1.4; text-align: left;
  color: var(--jp-ui-font-color1, var(--vscode-editor-foreground, var(--text)));
  background: var(--jp-layout-color1, var(--vscode-editor-background, var(--ground))); }
@media (prefers-color-scheme: dark) { #ID { DARK; } }
[data-jp-theme-light="true"] #ID, [data-theme="light"] #ID, .vscode-light #ID { LIGHT; }
[data-jp-theme-light="false"] #ID, [data-theme="dark"] #ID, .vscode-dark #ID { DARK; }
#ID table { border-collapse: collapse; margin: .4em 0; color: inherit; }
#ID th, #ID td { padding: .1em .6em; text-align: right; white-space: nowrap; border: 0; background: none;
  color: inherit; }
#ID thead th { border-bottom: 1px solid var(--line); }
#ID .left th, #ID .left td { text-align: left; font-weight: normal; }
#ID .faint { color: var(--faint); }
#ID .set, #ID .left .set th, #ID .left .set td { background: var(--mark); font-weight: bold; }
#ID summary { cursor: pointer; }
#ID p { margin: .3em 0; }
"""

numbers = count()


def framed(title: str, body: str) -> str:
    """Return HTML in a frame with a title and a style sheet that nothing else on the page heeds."""
    name = f"fastgmm-{next(numbers)}"
    style = STYLE.replace("ID", name).replace("LIGHT", LIGHT).replace("DARK", DARK)
    heading = f"<p><b>{escape(title)}</b></p>" if title else ""
    return f'<div id="{name}"><style>{style}</style>{heading}{body}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML already; the first cell of each row names it."""
    head = "".join(f'<th scope="col">{cell}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>' for name, *cells in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def rest(*numbers_and_nouns: tuple[int, str]) -> str:
    """Return in words what a table leaves out; nothing where that is nothing."""
    more = [counted(number, f"more {noun}") for number, noun in numbers_and_nouns if number > 0]
    return f'<p class="faint">… {" and ".join(more)}</p>' if more else ""


def parameters(values: Mapping[str, Any], changed: Sequence[str]) -> str:
    """Return all parameters to be unfolded, and in plain sight those that differ from their defaults."""
    shown = {escape(name): in_words(value) for name, value in values.items()}
    marks = {escape(name): ' class="set"' if name in changed else "" for name in values}
    rows = "".join(
        f'<tr{marks[name]}><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in shown.items()
    )
    told = ", ".join(f'<span class="set">{name}={value}</span>' for name, value in shown.items() if marks[name])
    summary = f"{counted(len(values), 'parameter')}, {len(changed) or 'none'} not of default"
    return (
        f"{f'<p>{told}</p>' if told else ''}<details><summary>{summary}</summary>"
        f'<table class="left"><tbody>{rows}</tbody></table></details>'
    )


def in_words(value: Any) -> str:
    """Return a value as HTML, cut to what a person reads."""
    return escape(quoted(value, VALUE))


def components(estimator: Any) -> str:
    """Return weights, means and standard deviations of a fitted estimator, or that they do not fit together."""
    if not (hasattr(estimator, "weights_") and hasattr(estimator, "means_")):
        return '<p class="faint">not fitted</p>'
    try:
        with np.errstate(all="ignore"):
            return told_components(estimator)
    except Exception:  # attributes set by hand
        return "<p>Its components cannot be shown: weights_, means_ and covariances_ do not fit together.</p>"


def told_components(estimator: Any) -> str:
    """Return the table of components, and above it how many there are and how the fit ended."""
    means = np.asarray(estimator.means_, dtype=np.float64)
    weights, deviations = np.asarray(estimator.weights_, dtype=np.float64), standard_deviations(estimator)
    n_components, n_features = means.shape
    if weights.shape != (n_components,) or deviations.shape != means.shape:
        raise ValueError("sizes differ")
    names = names_of(estimator)
    if len(names) != n_features:
        raise ValueError("numbers of features differ")
    k, d = min(n_components, ROWS), min(n_features, COLUMNS - 2)
    formats = [places(deviations[:, j].tolist(), means[:, j].tolist()) for j in range(d)]
    rows = [
        [str(i), f"{weights[i]:.4f}", *(cell(means[i, j], deviations[i, j], formats[j]) for j in range(d))]
        for i in range(k)
    ]
    told = f"{counted(n_components, 'component')} of {counted(n_features, 'feature')}, {estimator.covariance_type}"
    if hasattr(estimator, "noise_weight_"):
        told += f"; noise of weight {estimator.noise_weight_:.4f}"
    if (ended := getattr(estimator, "stop_reason_", None)) is not None:
        end = "converged after" if estimator.converged_ else f"stopped by {ended} after"
        told += f"; {end} {counted(estimator.n_iter_, 'iteration')}"
    header = ["component", "weight", *(escape(shortened(name, NAME)) for name in names[:d])]
    left_out = rest((n_components - k, "component"), (n_features - d, "feature"))
    legend = '<p class="faint">means, with standard deviations in brackets</p>'
    return f"<p>{escape(told)}</p>{table(header, rows)}{left_out}{legend}"


def cell(mean: float, deviation: float, digits: str) -> str:
    """Return a mean and a standard deviation."""
    return f'{mean:{digits}} <span class="faint">({deviation:{digits}})</span>'
