"""Fits reach mclust's published log-likelihoods, and `Mclust` speaks its words.

Published are Iris and Old Faithful, four structures, K = 1 to 4:

L. Scrucca, C. Fraley, T. B. Murphy, A. E. Raftery. Model-Based Clustering, Classification, and Density Estimation
Using mclust in R. Chapman and Hall/CRC, 2023 (Old Faithful, chapter 3; no figures are at hand for K = 4), and mclust
6.0.0 with its defaults (Iris). mclust's BIC is 2 log L - df log N; it stops EM early, so that a direct maximizer should
not be below.
"""

from __future__ import annotations

import inspect
import json
import math
import re
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from problems import DATASETS, PNG, run_python

from fastgmm import ConvergenceWarning, GaussianMixture, Prior, SelectionWarning, mclust, select
from fastgmm.mclust import Mclust, MclustResult
from fastgmm.mclust.result import described, name_of
from fastgmm.model.structures import MCLUST, STRUCTURES

KNOWN = json.loads((Path(__file__).parent / "mclust.json").read_text(encoding="utf-8"))

ROUNDED = {"iris": 0.5e-4 / 2, "faithful": 0.05 / 2}  # of log-likelihoods, by the digits of the BIC that are printed

BIC = {
    ("iris", "spherical"): (-1804.0854, -1012.2352, -853.8144, -812.6048),  # VII
    ("iris", "diag"): (-1522.1202, -857.5515, -744.6382, -751.0198),  # VVI
    ("iris", "tied"): (-829.9782, -688.0972, -632.9647, -646.0258),  # EEE
    ("iris", "full"): (-829.9782, -574.0178, -580.8396, -630.6000),  # VVV
    ("faithful", "spherical"): (-4024.7, -3458.3, -3336.6, None),
    ("faithful", "diag"): (-3055.8, -2346.1, -2342.4, None),
    ("faithful", "tied"): (-2607.6, -2325.2, -2314.3, None),
    ("faithful", "full"): (-2607.6, -2322.2, -2349.7, None),
}
TABLE = [(*key, k, bic) for key, row in BIC.items() for k, bic in enumerate(row, start=1) if bic is not None]


@pytest.mark.parametrize("acceleration", [None, "squarem"])
@pytest.mark.parametrize(("data", "structure", "n_components", "bic"), TABLE)
def test_never_below_mclust(data: str, structure: str, n_components: int, bic: float, acceleration: str | None) -> None:
    """Ten starts reach mclust's log-likelihood, less 1e-3 and the rounding of what is printed."""
    X = DATASETS[data]
    free = STRUCTURES[structure].n_parameters(n_components, X.shape[1])
    published = (bic + free * np.log(len(X))) / 2
    model = GaussianMixture(
        n_components,
        covariance_type=structure,
        n_init=10,
        tol=1e-9,
        reg_covar=0.0,
        max_iter=5000,
        random_state=0,
        acceleration=acceleration,
    ).fit(X)
    assert model.converged_ and model.degenerate_ == []
    assert len(X) * model.score(X) >= published - 1e-3 - ROUNDED[data]
    if n_components == 1:
        assert len(X) * model.score(X) == pytest.approx(published, abs=1e-4 + ROUNDED[data])


# Mclust --------------------------------------------------------------------------------------------------------------

IRIS, FAITHFUL = DATASETS["iris"], DATASETS["faithful"]
WAITING = FAITHFUL[:, 1]


@pytest.fixture(scope="module")
def iris() -> MclustResult:
    """All models and numbers of components on iris."""
    return Mclust(IRIS)


@pytest.fixture(scope="module")
def faithful() -> MclustResult:
    """The same on Old Faithful."""
    return Mclust(FAITHFUL)


def noisy_rows() -> np.ndarray:
    """Two groups and thirty rows all over the place, by a formula."""
    i = np.arange(1, 171)
    u, v = i * 0.6180339887498949 % 1, i * 0.7548776662466927 % 1
    r = np.sqrt(-2 * np.log(u))
    s, t = r * np.cos(2 * np.pi * v), r * np.sin(2 * np.pi * v)
    groups = [np.column_stack([2 * s, 1.2 * s + 0.8 * t]), np.column_stack([7 + 0.7 * s, -2 - 0.5 * s + 1.2 * t])]
    noise = np.column_stack([-10 + 25 * u, -9 + 17 * v])
    return np.concatenate([groups[0][:80], groups[1][80:140], noise[140:]]).round(2)


def noisy(G: Any = range(5), modelNames: Any = ("VVV", "EEE")) -> MclustResult:
    """A fit with noise."""
    return Mclust(noisy_rows(), G, modelNames, noise=True)


def log_joint(X: np.ndarray, parameters: Any) -> np.ndarray:
    """Log of weight times density of each component, and of the noise last: from `parameters` alone, one by one."""
    variance, columns = parameters.variance, []
    for k in range(variance.G):
        shift, sigma = X - parameters.mean[:, k], variance.sigma[:, :, k]
        distances = np.einsum("ni,ij,nj->n", shift, np.linalg.inv(sigma), shift)
        log_density = -0.5 * (distances + np.linalg.slogdet(2 * np.pi * sigma)[1])
        columns.append(np.log(parameters.pro[k]) + log_density)
    if parameters.Vinv is not None:
        columns.append(np.full(len(X), np.log(parameters.pro[-1] * parameters.Vinv)))
    return np.column_stack(columns)


def check_words(fit: MclustResult, X: np.ndarray) -> None:
    """Everything that a result says follows from its parameters, by the formulae of textbooks."""
    joint, variance = log_joint(X, fit.parameters), fit.parameters.variance
    densities = np.logaddexp.reduce(joint, axis=1)
    z = np.exp(joint - densities[:, None])
    clusters = z.argmax(axis=1) + 1
    np.testing.assert_allclose(fit.z, z, atol=1e-9)
    np.testing.assert_array_equal(fit.classification, np.where(clusters > fit.G, 0, clusters))
    np.testing.assert_allclose(fit.uncertainty, 1 - z.max(axis=1), atol=1e-9)
    assert fit.loglik == pytest.approx(densities.sum(), rel=1e-9)
    assert fit.bic == pytest.approx(2 * fit.loglik - fit.df * math.log(len(X)), rel=1e-12)
    assert fit.icl == pytest.approx(fit.bic + 2 * np.log(z.max(axis=1)).sum(), rel=1e-9)
    assert (fit.n, fit.d, fit.G) == (*X.shape, variance.G)
    assert fit.parameters.pro.sum() == pytest.approx(1)
    for k in range(fit.G):
        axes = variance.orientation[:, :, k]
        rebuilt = variance.scale[k] * axes @ np.diag(variance.shape[:, k]) @ axes.T
        np.testing.assert_allclose(rebuilt, variance.sigma[:, :, k], rtol=1e-7, atol=1e-9)


def test_choices_of_mclust(iris: MclustResult, faithful: MclustResult) -> None:
    """The models that mclust 6 chooses by default, with its BIC or better."""
    assert (iris.modelName, iris.G, iris.df, iris.n, iris.d) == ("VEV", 2, 26, 150, 4)
    assert (faithful.modelName, faithful.G, faithful.df, faithful.n, faithful.d) == ("EEE", 3, 11, 272, 2)
    assert iris.bic == pytest.approx(-561.7285, abs=1e-3) and iris.loglik == pytest.approx(-215.7260, abs=1e-3)
    assert iris.icl == pytest.approx(-561.7289, abs=1e-3)
    assert -2314.317 < faithful.bic < -2314.2
    assert [name for name, number, _ in iris.BIC.top(3)] == ["VEV", "VEV", "VVV"]


@pytest.mark.parametrize("data", ["iris", "faithful"])
def test_table_of_mclust(data: str, request: pytest.FixtureRequest) -> None:
    """BICs are mclust's or better, up to `tol`; of one component equal; two in a hundred may be other optima."""
    table, X = request.getfixturevalue(data).BIC, DATASETS[data]
    assert (table.modelNames, table.G) == (list(MCLUST), list(range(1, 10)))
    short = []
    for j, name in enumerate(table.modelNames):
        for k, values in KNOWN["data"][data]["log_likelihood"][name].items():
            df = STRUCTURES[name].n_parameters(int(k), X.shape[1])
            short.append(2 * values[-1] - df * math.log(len(X)) - table.values[int(k) - 1, j])
            assert int(k) > 1 or short[-1] == pytest.approx(0, abs=1e-3)
    assert len(short) == 56 and sum(lack > 0.1 for lack in short) <= 1


@pytest.mark.parametrize("model", [*MCLUST, "univariate E", "univariate V"])
def test_words(model: str) -> None:
    """Clusters, probabilities, likelihood and criteria are those of the parameters."""
    X = WAITING[:, None] if model.startswith("univariate") else IRIS
    name = model.removeprefix("univariate ")
    fit = Mclust(X, 3, name)
    check_words(fit, X)
    assert (fit.modelName, fit.parameters.variance.modelName) == (name, name)
    assert math.isnan(fit.hypvol) and fit.parameters.Vinv is None
    assert set(fit.classification) == {1, 2, 3}
    other = X[::-7] + 0.1
    classification, z = fit.predict(other)
    np.testing.assert_array_equal(classification, z.argmax(axis=1) + 1)
    np.testing.assert_array_equal(z, fit.mixture.predict_proba(other))


def test_noise_of_mclust() -> None:
    """mclust chooses the same of this table, puts the same rows into the clusters, and knows its volume."""
    fit = noisy()
    assert (fit.modelName, fit.G, fit.df) == ("VVV", 2, 13)
    assert -1577.219 < fit.bic < -1577.21
    assert fit.hypvol == pytest.approx(400.575906398) and fit.parameters.Vinv == pytest.approx(1 / 400.575906398)
    np.testing.assert_allclose(fit.parameters.pro, [0.47071, 0.36123, 0.16806], atol=2e-3)
    np.testing.assert_array_equal(np.bincount(fit.classification), [25, 83, 62])
    check_words(fit, noisy_rows())
    np.testing.assert_allclose(fit.BIC.values[0], -2042.7229, atol=1e-4)
    assert fit.BIC.G == [0, 1, 2, 3, 4]
    assert "2 components and noise" in fit.summary()
    assert re.search(r"cluster +0 +1 +2\n +rows +25 +83 +62", fit.summary())


def test_noise_alone() -> None:
    """Without components all rows are noise; so they are where no component is worth its parameters."""
    fit = noisy(0, "VVV")
    assert (fit.G, fit.df, fit.modelName, fit.mixture) == (0, 1, "noise", None)
    assert fit.loglik == pytest.approx(-170 * math.log(400.575906398))
    assert fit.bic == fit.icl == pytest.approx(-2042.7229, abs=1e-4)
    assert not fit.classification.any() and (fit.z == 1).all() and fit.z.shape == (170, 1)
    assert not fit.uncertainty.any() and fit.parameters.variance is None
    np.testing.assert_array_equal(fit.predict([[0.0, 0.0], [9.0, 9.0]]).classification, [0, 0])
    assert "Noise alone" in fit.summary()
    with pytest.raises(ValueError, match="all is noise"):
        fit.plot("density")
    uniform = np.random.default_rng(0).uniform(size=(400, 2))
    assert Mclust(uniform, range(3), "EEE", noise=True).G == 0


def test_models_by_default() -> None:
    """All fourteen; of one feature, E and V; with no more rows than features, those without correlations."""
    assert Mclust(FAITHFUL, 1).BIC.modelNames == list(MCLUST)
    assert Mclust(WAITING, 1).BIC.modelNames == ["E", "V"]
    X = np.random.default_rng(0).normal(size=(6, 5))
    uncorrelated = ["EII", "VII", "EEI", "VEI", "EVI", "VVI"]
    assert Mclust(X[:5], 1).BIC.modelNames == uncorrelated
    assert Mclust(X, 1).BIC.modelNames == list(MCLUST)
    assert Mclust(FAITHFUL, 1, ["VVV", "EII", "VVV"]).BIC.modelNames == ["VVV", "EII"]


def test_vector_is_one_feature() -> None:
    """A vector is a column, as in R, with mclust's log-likelihoods or better; so are new rows."""
    fit = Mclust(WAITING, range(1, 4))
    assert (fit.modelName, fit.G, fit.d) == ("E", 2, 1)
    known = {
        "E": (-1095.2888, -1034.0018, -1034.0018),
        "V": (-1095.2888, -1034.0017, -1033.4956),
    }
    for j, name in enumerate(fit.BIC.modelNames):
        df = [STRUCTURES[name].n_parameters(k, 1) for k in range(1, 4)]
        published = 2 * np.array(known[name]) - np.array(df) * math.log(272)
        assert (fit.BIC.values[:, j] > published - 0.1).all()
    np.testing.assert_array_equal(fit.predict(WAITING).classification, fit.classification)
    assert Mclust(WAITING[:, None], range(1, 4)).bic == fit.bic


def test_names_of_models() -> None:
    """With one component nothing is shared; words say what letters mean."""
    assert [name_of(name, 1) for name in ("EII", "VEI", "EVV", "V")] == ["XII", "XXI", "XXX", "X"]
    assert [name_of(name, 2) for name in ("EII", "V")] == ["EII", "V"]
    assert Mclust(FAITHFUL, 1, "VEE").modelName == "XXX"
    words = {
        "EII": "spherical, equal volume",
        "VII": "spherical, varying volume",
        "VEI": "diagonal, equal shape",
        "EEI": "diagonal, equal volume and shape",
        "VVI": "diagonal, varying volume and shape",
        "EEE": "ellipsoidal, equal volume, shape and orientation",
        "VEE": "ellipsoidal, equal shape and orientation",
        "XXX": "ellipsoidal",
        "XXI": "diagonal",
        "XII": "spherical",
        "E": "univariate, equal variance",
        "X": "univariate",
    }
    assert {name: described(name) for name in words} == words


@pytest.mark.parametrize("prior", [True, Prior(mean_precision=0.5)])
def test_prior(prior: Any) -> None:
    """A prior replaces the regularization, and is mclust's by default."""
    fit = Mclust(IRIS, 3, ["VVV", "VEE"], prior)
    own = select(
        IRIS,
        3,
        ["VVV", "VEE"],
        prior="mclust" if prior is True else prior,
        reg_covar=0,
        tol=1e-5,
        max_iter=1000,
        random_state=0,
    )
    assert fit.bic == -own.table_["bic"][0]
    assert fit.bic < Mclust(IRIS, 3, ["VVV", "VEE"], False).bic


def test_weights_and_other_arguments() -> None:
    """Weights count rows; other arguments reach `select`; of equal and free weights the table has the better."""
    twice = Mclust(np.repeat(FAITHFUL, 2, axis=0), 2, "VVV")
    weighted = Mclust(FAITHFUL, 2, "VVV", weights=np.full(272, 2.0))
    assert weighted.bic == pytest.approx(twice.bic, rel=1e-5)
    equal = Mclust(FAITHFUL, 2, "VVV", equal_weights=True)
    np.testing.assert_array_equal(equal.parameters.pro, [0.5, 0.5])
    both = Mclust(FAITHFUL, 2, "VVV", equal_weights=[True, False])
    assert both.BIC.values[0, 0] == both.bic > equal.bic
    with pytest.warns(ConvergenceWarning):
        Mclust(FAITHFUL, 4, "VVV", max_iter=1)


def test_same_call_same_result(iris: MclustResult) -> None:
    """Without a seed there is no chance in it, and the seed is NumPy's business no more."""
    np.random.seed(1)
    again = Mclust(IRIS)
    np.testing.assert_array_equal(again.BIC.values, iris.BIC.values)
    np.testing.assert_array_equal(again.z, iris.z)


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1e4])
def test_units(scale: float, iris: MclustResult) -> None:
    """In other units the BIC moves by what densities do, and nothing else changes."""
    fit = Mclust(IRIS * scale, range(1, 4))
    moved = fit.BIC.values - 2 * -IRIS.size * math.log(scale)
    np.testing.assert_allclose(moved, iris.BIC.values[:3], atol=0.05)
    np.testing.assert_array_equal(fit.classification, iris.classification)


def test_table(iris: MclustResult) -> None:
    """The table prints as mclust's, in blocks; the best come first."""
    lines = repr(iris.BIC).splitlines()
    assert lines[0].split() == list(MCLUST)[:7] and lines[10].split() == list(MCLUST)[7:]
    assert lines[1].split()[:3] == ["1", "-1804.0854", "-1804.0854"]
    assert lines[-1].startswith("Best (larger is better): VEV,2 -561.7285; VEV,3 -562.55")
    values = [value for _, _, value in iris.BIC.top(200)]
    assert values == sorted(values, reverse=True) and len(values) == 126 and values[0] == iris.bic


def test_table_as_data_frame(iris: MclustResult) -> None:
    """Models are columns, numbers of components the index."""
    pytest.importorskip("pandas")
    frame = iris.BIC.to_pandas()
    assert frame.loc[2, "VEV"] == iris.bic and frame.shape == (9, 14)


def test_failures_are_missing() -> None:
    """What cannot be fitted, or has a collapsed component, is NA; the best of the rest is chosen, with a warning."""
    with pytest.warns(SelectionWarning, match="2 candidates failed"):
        few = Mclust([0.0, 0.5, 1.0, 8.0, 8.5, 9.0], [1, 2, 7])
    np.testing.assert_array_equal(np.isnan(few.BIC.values), [[False, False], [False, False], [True, True]])
    assert re.search(r"^7 +NA +NA$", repr(few.BIC), re.MULTILINE)
    repeated = np.concatenate([FAITHFUL[:50], np.repeat([[3.0, 70.0]], 20, axis=0)])
    with pytest.warns(SelectionWarning, match="set aside"):
        fit = Mclust(repeated, range(1, 5))
    assert np.isnan(fit.BIC.values).any()
    assert fit.bic == np.nanmax(fit.BIC.values) == fit.BIC.top(1)[0][2]
    table = fit.selection.table_
    assert np.isnan(fit.BIC.values).sum() == (table["degenerate"] | (table["error"] != "")).sum()


def test_texts(iris: MclustResult) -> None:
    """What a prompt shows, and the summary, which is shown as it is."""
    assert repr(iris) == "MclustResult(VEV, G=2, bic=-561.73)"
    assert str(iris) == iris.summary() == repr(iris.summary())
    assert "VEV (ellipsoidal, equal shape), 2 components" in iris.summary()
    assert re.search(r"-215.7260 +150 +26 +-561.7285 +-561.7289$", iris.summary(), re.MULTILINE)
    assert re.search(r"cluster +1 +2\n +rows +50 +100$", iris.summary())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"modelNames": "VVX"}, "'VVX'.* EII, VII, EEI.* VVV, and for one feature of E, V"),
        ({"modelNames": ["VVV", 3]}, "'VVV', 3"),
        ({"modelNames": []}, "one or more of"),
        ({"modelNames": "full"}, "'full'"),
        ({"modelNames": "E"}, "is for one feature, but there are 2"),
        ({"G": 0}, r"G=0: .* ints from 1 \(0, noise alone, needs noise=True\)"),
        ({"G": [1, 0]}, "needs noise=True"),
        ({"G": -1}, "G=-1"),
        ({"G": -1, "noise": True}, "ints from 0"),
        ({"G": []}, "one or more numbers"),
        ({"G": 1.5}, "G=1.5"),
        ({"G": "3"}, "G='3'"),
        ({"noise": [1, 2]}, "no first guess"),
        ({"prior": "flat"}, "flat"),
        ({"n_components": 3}, "n_components"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    """What is no argument of mclust is refused, with the value seen and what there is."""
    with pytest.raises((ValueError, TypeError), match=message):
        Mclust(FAITHFUL, **arguments)


@pytest.mark.parametrize("X", [IRIS, FAITHFUL, WAITING], ids=["four", "two", "one"])
@pytest.mark.parametrize("what", ["BIC", "classification", "uncertainty", "density"])
def test_pictures(X: np.ndarray, what: str) -> None:
    """All pictures can be drawn of several features, of two and of one; clusters count from 1."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    fit = Mclust(X, [1, 2, 3])
    ax = figure.subplots()
    display = fit.plot(what, ax=ax)
    assert display.ax_ is ax and display._repr_png_()[:8] == PNG
    legends = [one.get_legend() for one in figure.axes]
    texts = [text.get_text() for one in legends if one is not None for text in one.get_texts()]
    numbered = what in ("classification", "uncertainty") or (X.ndim == 1 and what == "density")
    assert any(text.startswith(f"{fit.G}: ") for text in texts) == numbered
    assert not any(text.startswith("0: ") for text in texts)


def test_picture_of_bic(iris: MclustResult) -> None:
    """Curves are the table's, spurious candidates aside, with the best above the others and ringed."""
    pytest.importorskip("matplotlib")
    ax = iris.plot().ax_
    curves = {line.get_label(): line.get_xydata() for line in ax.get_lines()}
    aside = iris.selection.table_[iris.selection.table_["spurious"]]
    spurious = {(name_of(kind, k), k) for kind, k in aside[["covariance_type", "n_components"]].tolist()}
    assert spurious
    for name, column in zip(iris.BIC.modelNames, iris.BIC.values.T, strict=True):
        drawn = [math.nan if (name, k) in spurious else bic for k, bic in zip(iris.BIC.G, column, strict=True)]
        np.testing.assert_allclose(curves[name], np.column_stack([iris.BIC.G, drawn]))
    np.testing.assert_array_equal(curves["best: VEV, 2"], [[2, iris.bic]])
    assert ax.get_ylabel() == "BIC (larger is better)" and ax.get_ylim()[0] < iris.bic < ax.get_ylim()[1]
    assert iris.selection.table_["bic"][0] == -iris.bic  # not turned itself


def test_pictures_of_chosen_features(iris: MclustResult) -> None:
    """Two columns make a scatter plot with the clusters' rows, one a histogram; six is the most."""
    pytest.importorskip("matplotlib")
    ax = iris.plot("classification", features=[2, 0]).ax_
    for k, line in enumerate(ax.get_lines(), start=1):
        np.testing.assert_array_equal(line.get_xydata(), IRIS[iris.classification == k][:, [2, 0]])
    assert [text.get_text() for text in ax.texts] == ["1", "2"]
    assert iris.plot("density", features=[3]).ax_.get_xlabel() == "feature 3"
    assert iris.plot("classification").axes_.shape == (4, 4)
    with pytest.raises(ValueError, match="what='bic': choose one of BIC, classification, uncertainty, density"):
        iris.plot("bic")
    with pytest.raises(ValueError, match="X has columns 0 to 3"):
        iris.plot("uncertainty", features=[4])


def test_pictures_of_noise() -> None:
    """Rows of noise are gray crosses, and are named with their weight."""
    pytest.importorskip("matplotlib")
    fit = noisy(2, "VVV")
    for what in ("classification", "uncertainty"):
        ax = fit.plot(what).ax_
        crosses = np.concatenate([line.get_xydata() for line in ax.get_lines() if line.get_marker() == "x"])
        expected = noisy_rows()[fit.classification == 0]
        np.testing.assert_array_equal(crosses[np.lexsort(crosses.T)], expected[np.lexsort(expected.T)])
        assert "noise: 0.17" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_page() -> None:
    """The five lines that replace R's in packages of spatial transcriptomics put clusters where those do."""
    pandas = pytest.importorskip("pandas")
    page = inspect.getdoc(mclust) or ""
    code = re.search(r"^    def mclust_R\(.*?^        return adata$", page, re.MULTILINE | re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"Mclust": Mclust}
    exec(textwrap.dedent(code[0]), names)
    adata = SimpleNamespace(obsm={"STAGATE": IRIS}, obs=pandas.DataFrame(index=range(150)))
    assert names["mclust_R"](adata, num_cluster=3) is adata
    assert list(adata.obs["mclust"].cat.categories) == [1, 2, 3]
    np.testing.assert_array_equal(adata.obs["mclust"], Mclust(IRIS, 3, "EEE", random_state=2020).classification)


def test_imported_on_demand() -> None:
    """The package does not import it, and it imports no matplotlib."""
    loaded = "print(*sorted({'fastgmm.mclust', 'matplotlib'} & {*sys.modules}))"
    code = f"import sys, fastgmm; {loaded}; import fastgmm.mclust; {loaded}"
    assert run_python("-c", code, check=True).stdout.split("\n") == ["", "fastgmm.mclust", ""]


@pytest.mark.parametrize("far", [1e3, 1e5])
def test_outliers_far_away_are_noise(far: float) -> None:
    """However far three rows lie, they are noise and change nothing else: no ridge that follows their variance."""
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(300, 2)), rng.normal(size=(200, 2)) * [0.5, 2] + [8, 0]
    found = Mclust(np.vstack([*groups, [[far, far], [-far, far], [far, -0.9 * far]]]), range(1, 4), noise=True)
    assert (found.modelName, found.G) == ("EVI", 2)
    assert (found.classification[-3:] == 0).all() and (found.classification[:-3] > 0).all()


def test_noise_alone_in_pictures_and_predictions() -> None:
    """The picture shows noise alone as a point, ringed if it is best; rows are checked."""
    pytest.importorskip("matplotlib")
    rows = np.random.default_rng(0).uniform(size=(300, 2))
    found = Mclust(rows, range(4), noise=True)
    assert found.G == 0
    legend = found.plot("BIC").ax_.get_legend()
    assert legend is not None
    assert "best: noise, 0" in [text.get_text() for text in legend.get_texts()]
    alone = Mclust(rows, 0, noise=True).plot("BIC").ax_
    assert [text.get_text() for text in alone.get_legend().get_texts()] == ["noise", "best: noise, 0"]
    for wrong in ([[1, 2, 3]], [[1, np.nan]]):
        with pytest.raises(ValueError, match=r"features|NaN"):
            found.predict(wrong)
    for name in ("initialization", "control", "equalPro", "criterion", "sample_weight"):
        with pytest.raises(TypeError, match=f"no argument '{name}'"):
            Mclust(rows, 2, **{name: 1})
