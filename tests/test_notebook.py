"""What notebooks show: well-formed, escaped, of bounded size, the numbers of the mixture, whatever its attributes."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from problems import Array, elongated_groups, quiet_fit

from fastgmm import GaussianMixture, select
from fastgmm.model.structures import LAYOUTS

VOID = {"br", "hr", "img", "input", "link", "meta"}


class Page(HTMLParser):
    """HTML that must be well formed: its text, its tags, and the cells of each table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data


@pytest.mark.parametrize("kind", LAYOUTS)
def test_components_are_those_of_the_mixture(kind: str) -> None:
    """Weights, means and standard deviations are the attributes, rounded to three digits of a deviation."""
    X = elongated_groups(300, 3, 3) * [1.0, 1e-3, 1e4]
    mixture = quiet_fit(X, n_components=3, covariance_type=kind, random_state=0, reg_covar="auto")
    page = Page(mixture._repr_html_())
    header, *rows = page.tables[0]
    assert header == ["component", "weight", "x0", "x1", "x2"]
    covariances = {
        "full": lambda c: np.einsum("kii->ki", c),
        "tied": lambda c: np.tile(np.diag(c), (3, 1)),
        "diag": lambda c: c,
        "spherical": lambda c: np.repeat(c[:, None], 3, axis=1),
    }[kind](mixture.covariances_)
    for k, (name, weight, *cells) in enumerate(rows):
        assert (name, float(weight)) == (str(k), pytest.approx(mixture.weights_[k], abs=5e-5))
        for d, cell in enumerate(cells):
            mean, deviation = cell.rstrip(")").split(" (")
            spread = np.sqrt(covariances[k, d])
            assert float(deviation) == pytest.approx(spread, rel=6e-3)
            assert float(mean) == pytest.approx(mixture.means_[k, d], abs=6e-3 * spread)
    assert "3 components of 3 features" in page.text and "more" not in page.text


def test_parameters_all_and_changed() -> None:
    """All parameters are there; those changed are marked, and stand in plain sight too."""
    mixture = GaussianMixture(4, tol=1e-5, init_params=np.zeros(1000, int))
    html = mixture._repr_html_()
    page = Page(html)
    assert dict(page.tables[-1]).keys() == mixture.get_params().keys()
    assert dict(page.tables[-1])["tol"] == "1e-05" and dict(page.tables[-1])["n_init"] == "1"
    marked = [line.partition('<th scope="row">')[2].partition("<")[0] for line in html.split('<tr class="set">')[1:]]
    assert marked == ["init_params", "n_components", "tol"]
    assert "tol=1e-05" in page.text and "28 parameters, 3 not of default" in page.text and "not fitted" in page.text
    assert "none not of default" in Page(GaussianMixture()._repr_html_()).text


def test_bounded_size() -> None:
    """At most ten rows and eight columns are shown, and the rest is said in words; long values are cut."""
    rng = np.random.default_rng(0)
    mixture = quiet_fit(rng.normal(size=(400, 60)), n_components=50, covariance_type="diag", max_iter=1, random_state=0)
    mixture.set_params(means_init=rng.normal(size=(50, 60)), init_params="x" * 10**6, precisions_init=[[0.1]] * 10**6)
    html = mixture._repr_html_()
    page = Page(html)
    assert len(page.tables[0]) == 11 and {len(row) for row in page.tables[0]} == {8}
    assert "… 40 more components and 54 more features" in page.text
    assert len(html) < 12_000
    page = Page(select(rng.normal(size=(60, 2)), range(1, 8), criterion="aicc", random_state=0)._repr_html_())
    assert len(page.tables[0]) == 11 and {len(row) for row in page.tables[0]} == {8}
    assert "… 18 more candidates" in page.text


def test_names_and_values_are_escaped() -> None:
    """Nothing that the user names becomes a tag."""
    pandas = pytest.importorskip("pandas")

    class Evil:
        def __repr__(self) -> str:
            return "<script>alert(1)</script>"

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    frame = pandas.DataFrame(elongated_groups(60, 2, 2), columns=["<script>alert(2)</script>", "a&b\"'"])
    mixture = GaussianMixture(2, random_state=0).fit(frame)
    mixture.set_params(callback=Evil(), init_params="</details><img src=x>", means_init=Broken())
    html = mixture._repr_html_()
    page = Page(html)
    assert not page.tags & {"script", "img"}
    assert page.tables[0][0] == ["component", "weight", "<script>alert(...script>", "a&b\"'"]
    assert "callback=<script>alert(1)</script>" in page.text


@pytest.mark.parametrize(
    "attributes",
    [
        {"weights_": [1.0]},
        {"weights_": "no"},
        {"means_": None},
        {"means_": [[1.0, 2.0]]},
        {"covariances_": np.ones(2)},
        {"covariances_": -np.ones((2, 2, 2))},
        {"covariances_": np.full((2, 2, 2), np.nan)},
        {"covariances_": np.full((2, 2, 2), np.inf)},
        {"covariance_type": "round"},
        {"covariance_type": "diag"},
        {"feature_names_in_": ["a"]},
        {"n_iter_": None},
        {"converged_": np.array([True, False])},
        {"means_": np.empty((0, 2)), "weights_": []},
    ],
)
def test_attributes_that_do_not_fit_raise_nothing(attributes: dict[str, Any]) -> None:
    """Whatever attributes were set to, there is a well-formed page."""
    mixture = GaussianMixture(2, random_state=0).fit(elongated_groups(60, 2, 2))
    for name, value in attributes.items():
        setattr(mixture, name, value)
    assert "parameters" in Page(mixture._repr_html_()).text
    del mixture.covariances_
    assert "do not fit together" in Page(mixture._repr_html_()).text


def test_style_of_its_own() -> None:
    """Every rule heeds one element alone; both themes are there, the system's and the notebook's."""
    first, second = GaussianMixture()._repr_html_(), GaussianMixture()._repr_html_()
    name = first.partition('id="')[2].partition('"')[0]
    assert name not in second
    style = first.partition("<style>")[2].partition("</style>")[0].replace("@media (prefers-color-scheme: dark) {", "")
    selectors = [rule.rpartition("{")[0] for rule in style.split("}") if "{" in rule]
    assert selectors and all(f"#{name}" in part for rule in selectors for part in rule.split(","))
    for theme in ("prefers-color-scheme: dark", "--jp-layout-color1", 'data-jp-theme-light="false"', ".vscode-dark"):
        assert theme in first


@pytest.mark.parametrize("fitted", [False, True])
def test_inside_diagrams_of_scikit_learn(fitted: bool) -> None:
    """Pipelines, nested and with a search around, unfold the parameters and components."""
    sklearn = pytest.importorskip("sklearn")
    pipeline = pytest.importorskip("sklearn.pipeline")
    search = pytest.importorskip("sklearn.model_selection")
    scaler = pytest.importorskip("sklearn.preprocessing").StandardScaler()
    X: Array = elongated_groups(90, 2, 2)
    inner = pipeline.make_pipeline(scaler, GaussianMixture(2, random_state=0))
    for whole in (inner, pipeline.Pipeline([("all", inner)]), search.GridSearchCV(inner, {}, cv=2)):
        if fitted:
            whole.fit(X)
        with sklearn.config_context(display="diagram"):
            page = Page(whole._repr_html_())
        assert "GaussianMixture" in page.text
        if tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 7):
            assert "28 parameters, 2 not of default" in page.text
            assert ("2 components of 2 features" in page.text) == fitted


def test_selection() -> None:
    """A selection shows its printed table and its notes."""
    selection = select(elongated_groups(300, 2, 3), [1, 2], random_state=0)
    page = Page(selection._repr_html_())
    lines = str(selection).splitlines()
    assert [" ".join(row).split() for row in page.tables[0]] == [line.split() for line in lines[: len(page.tables[0])]]
    assert "The most components that were tried, 2, are best: try more." in page.text


def test_not_imported_until_shown() -> None:
    """Neither the page's code nor Python's html module are imported with the package."""
    code = "import sys, fastgmm; print(*{'fastgmm.mixture.notebook', 'html', 'reprlib'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout
    assert "notebook" not in told and "html" not in told.split()
