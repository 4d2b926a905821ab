"""`fastgmm fit` and the reading of tables: numbers equal the estimator's, files round-trip, errors are one line."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import pickle
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from problems import COMMAND, PNG, disk_full, interrupt, limit, refused, run_python

import fastgmm
from fastgmm import GaussianMixture, kernels
from fastgmm.cli import main
from fastgmm.cli.reports import adjusted_rand_index
from fastgmm.cli.tables import CommandError, Request, read_table
from fastgmm.datasets import load_faithful, load_iris
from fastgmm.fitting.starts import levels
from fastgmm.sources.threads import default_n_threads


def write(path: Path, text: str | bytes) -> str:
    """Write a file and return its name."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def told(report: str, key: str) -> str:
    """The text of a report's line that starts with this key."""
    lines = [line for line in report.splitlines() if line.startswith(key)]
    assert len(lines) == 1, report
    return lines[0].removeprefix(key).strip()


def component_rows(report: str) -> list[list[float]]:
    """The numbers of each line of a report's first table of components."""
    lines = iter(report.splitlines())
    next(line for line in lines if line.lstrip().startswith("component "))
    rows = []
    for line in lines:
        if not line.strip()[:1].isdigit():
            break
        rows.append([float(number) for number in re.findall(r"[-+\d.e]+", line)])
    return rows


@pytest.fixture
def faithful_csv(tmp_path: Path) -> str:
    """The name of a CSV file with the Old Faithful eruptions."""
    data = load_faithful()
    lines = [",".join(data.feature_names), *(",".join(map(repr, row)) for row in data.data.tolist())]
    return write(tmp_path / "faithful.csv", "\n".join(lines) + "\n")


# The main job


def test_no_arguments_fit_iris(tmp_path: Path) -> None:
    """Without arguments it fits iris: the report's numbers are those of the same fit in Python."""
    pytest.importorskip("matplotlib")
    done = run_python("-m", "fastgmm", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    iris = load_iris()
    X = iris.data[:, :2]
    model = GaussianMixture(3, random_state=0)
    labels = model.fit_predict(X)
    assert model.converged_
    assert told(done.stdout, "data").endswith("150 rows, 2 columns")
    assert told(done.stdout, "stopped") == f"converged after {model.n_iter_} iterations (tol 0.001)"
    assert told(done.stdout, "log-likelihood") == f"{model.score(X):.6f} per sample"
    assert abs(model.score(X) - model.lower_bound_) < 1e-3
    assert float(told(done.stdout, "BIC").split()[0]) == pytest.approx(model.bic(X), abs=0.006)
    threads = default_n_threads()
    assert told(done.stdout, "time").endswith(f"({kernels.VARIANT} kernels, {threads} thread{'s'[: threads > 1]})")
    for k, row in enumerate(component_rows(done.stdout)):
        deviations = np.sqrt(np.diag(model.covariances_[k]))
        expected = [k, model.weights_[k], np.sum(labels == k)]
        for mean, deviation in zip(model.means_[k], deviations, strict=True):
            expected += [mean, deviation]
        np.testing.assert_allclose(row, expected, atol=0.0051, rtol=0)
    counts = done.stdout.partition("species in each component\n")[2].splitlines()
    assert counts[0].split() == ["component", *iris.target_names]
    assert iris.target is not None
    for k in range(3):
        expected = [np.sum((labels == k) & (iris.target == species)) for species in range(3)]
        assert [int(word) for word in counts[1 + k].split()] == [k, *expected]
    assert float(told(done.stdout, "adjusted Rand index")) > 0.4
    assert told(done.stdout, "picture:") == str(tmp_path / "fastgmm-iris.png")
    assert (tmp_path / "fastgmm-iris.png").read_bytes().startswith(PNG)
    assert os.listdir(tmp_path) == ["fastgmm-iris.png"]
    assert max(map(len, done.stdout.splitlines())) <= max(100, len(str(tmp_path)) + 30)


def test_no_arguments_without_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without matplotlib one line says how to get the picture."""
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "matplotlib" else find(name, *rest)
    )
    assert main([]) == 0
    assert "pip install 'fastgmm[plot]'" in told(capsys.readouterr().out, "picture:")
    assert os.listdir(tmp_path) == []


def test_config(capsys: pytest.CaptureFixture[str]) -> None:
    """`config` prints what show_config prints."""
    assert main(["config"]) == 0
    printed = capsys.readouterr().out
    fastgmm.show_config()
    assert printed == capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["config", "--help"], ["--version"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help and version go to the standard output with status 0; help has examples."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 0
    out, err = capsys.readouterr()
    assert err == ""
    if arguments == ["--version"]:
        assert out.split() == ["fastgmm", fastgmm.__version__]
    elif arguments != ["config", "--help"]:
        assert "fit table.csv --components 3" in out


# A person's own table


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_fit(structure: str, faithful_csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every option reaches the estimator; the labels and the report are those of the same fit in Python."""
    data = load_faithful().data
    settings = {"tol": 1e-5, "max_iter": 7, "reg_covar": 0.01, "n_init": 2}
    model = GaussianMixture(3, covariance_type=structure, random_state=4, n_threads=1, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastgmm.ConvergenceWarning)
        labels = model.fit_predict(data)
    output = tmp_path / "labels.csv"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    arguments = ["--components=3", f"--covariance-type={structure}", "--seed=4", "--threads=1", f"--output={output}"]
    assert main(["fit", faithful_csv, *arguments, *options]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    before, after = ("", "") if model.converged_ else ("NOT ", ": allow more with --max-iter")
    assert told(out, "stopped") == f"{before}converged after {model.n_iter_} iterations (tol 1e-05){after}"
    assert told(out, "log-likelihood") == f"{model.score(data):.6f} per sample"
    np.testing.assert_allclose([row[1] for row in component_rows(out)], model.weights_, atol=5.1e-5)
    np.testing.assert_allclose([row[3::2] for row in component_rows(out)], model.means_, atol=0.0051)
    header, *written = output.read_bytes().decode().splitlines()
    assert header == "label"
    np.testing.assert_array_equal(np.array(written, dtype=int), labels)
    assert sorted(os.listdir(tmp_path)) == ["faithful.csv", "labels.csv"]
    assert told(out, "labels:") == str(output)


def test_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Reports tell of the samples on which the best of several fits began; an option keeps it from them."""
    monkeypatch.setattr(levels, "LEAST_ROWS", 256)
    X = np.random.default_rng(0).normal(size=(20_000, 2)) * np.repeat([[1.0], [9.0]], 10_000, axis=0)
    np.save(tmp_path / "rows.npy", X)
    arguments = ["fit", str(tmp_path / "rows.npy"), "--components=2", "--n-init=3", "--save", str(tmp_path / "model")]
    for further in ([], ["--no-sampling"]):
        assert main([*arguments, *further]) == main(["show", str(tmp_path / "model")]) == 0
        out = capsys.readouterr().out
        sampling = None if further else "auto"
        model = GaussianMixture(2, n_init=3, random_state=0, sampling=sampling).fit(X)
        best = max(model.fits_, key=lambda record: record.lower_bound)
        expected = ", ".join(f"{rows} rows ({n} iteration{'s' * (n > 1)})" for rows, n in best.levels)
        lines = [line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith("began")]
        assert lines == ([] if further else [f"on {expected}"] * 2)
        assert out.count(f"converged after {model.n_iter_} iteration") == 2


def test_fit_in_its_own_process(faithful_csv: str, tmp_path: Path) -> None:
    """`fastgmm fit` in a process of its own writes labels and a picture."""
    pytest.importorskip("matplotlib")
    done = run_python(
        "-m", "fastgmm", "fit", "faithful.csv", "-k", "2", "-o", "out.csv", "--plot", "out.png", cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 273
    assert (tmp_path / "out.png").read_bytes().startswith(PNG)
    assert sorted(os.listdir(tmp_path)) == ["faithful.csv", "out.csv", "out.png"]


def test_report_of_many_columns_and_components(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wide model is cut to what a person reads, in lines of at most 100 characters."""
    rng = np.random.default_rng(0)
    path = tmp_path / "wide.npy"
    np.save(path, rng.normal(size=(400, 30)) * 10.0 ** rng.integers(-9, 9, size=30))
    assert main(["fit", str(path), "-k", "60", "--max-iter", "1", "--covariance-type", "diag"]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines() if str(path) not in line) <= 100
    assert "column 12" in out
    assert "... and 18 more columns" in out
    assert "... and 10 more components" in out


def test_failed_write_keeps_old_output(
    faithful_csv: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When writing fails the old output stays, and no temporary file is left."""
    output = tmp_path / "labels.csv"
    output.write_text("old")

    monkeypatch.setattr(os, "replace", disk_full)
    assert main(["fit", faithful_csv, "-k", "2", "-o", str(output)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert output.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["faithful.csv", "labels.csv"]


@pytest.mark.skipif(os.name != "posix", reason="needs a null device in the file system")
def test_devices_are_written_not_replaced(faithful_csv: str) -> None:
    """The null device stays what it is."""
    assert main(["fit", faithful_csv, "-k", "2", "-o", os.devnull]) == 0
    assert not os.path.isfile(os.devnull)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize(("command", "number"), [("fit", "SIGINT"), ("fit", "SIGTERM"), ("select", "SIGINT")])
def test_interrupt(tmp_path: Path, command: str, number: str) -> None:
    """Ctrl-C and SIGTERM during a fit end it soon, with a status that says so and everything that was asked for."""
    np.save(tmp_path / "big.npy", np.random.default_rng(0).normal(size=(2000, 3)))
    arguments = [command, "big.npy", "-k", "4", "--tol", "0", "--max-iter", "50", "-o", "out.csv", "--save", "model"]
    code = f"""if True:
        import sys, time, fastgmm.cli
        from fastgmm.fitting import settings
        from fastgmm.fitting.search import trials
        from fastgmm.sources.array import ArraySource
        ArraySource.at_once = lambda *_: None  # many iterations in one call have no twentieth
        places = {{"fit": (settings.Settings, "stop", 20), "select": (trials.Outcome, "keep", 6)}}
        kind, name, last = places["{command}"]
        whole, calls = getattr(kind, name), []
        def waiting(*given):
            found = whole(*given)
            calls.append(1)
            if len(calls) == last:
                print("ready", file=sys.__stdout__, flush=True)
                time.sleep(20)
            return found
        setattr(kind, name, waiting)
        sys.exit(fastgmm.cli.main({arguments}))"""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline().strip() == "ready"
        process.send_signal(getattr(signal, number))
        out, err = process.communicate(timeout=limit(120))
    finally:
        process.kill()
    assert process.returncode == (143 if number == "SIGTERM" else 130), err
    assert re.fullmatch("fastgmm: interrupted .*: what was asked for is made of the best so far\n", err)
    assert "model" in out and sorted(os.listdir(tmp_path)) == ["big.npy", "model", "out.csv"]
    model = fastgmm.load(tmp_path / "model")
    assert not model.converged_
    if command == "fit":
        del model.feature_names_in_
        labels = np.loadtxt(tmp_path / "out.csv", skiprows=1)
        np.testing.assert_array_equal(labels, model.predict(np.load(tmp_path / "big.npy")))
        assert "stopped by interrupt" in out and (model.stop_reason_, model.n_iter_) == ("interrupt", 20)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_interrupt_before_the_first_iteration(faithful_csv: str, tmp_path: Path) -> None:
    """Ctrl-C before there is anything: status 130, nothing said, nothing written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastgmm.fitting.starts.prepare", interrupt)
        assert main(["fit", faithful_csv, "-k", "2", "--save", str(tmp_path / "model")]) == 130
    assert not (tmp_path / "model").exists()


# Reading


LAYOUTS = {
    "comma": "a,b\n1,2.5\n-3e2,4\n",
    "semicolon": "a;b\n1;2.5\n-3e2;4\n",
    "tab": "a\tb\n1\t2.5\n-3e2\t4\n",
    "space": "a b\n1 2.5\n-3e2 4\n",
    "aligned spaces": "     a   b\n     1 2.5\n -3e2   4  \n",
    "spaces after commas": "a, b\n1, 2.5\n-3e2, 4\n",
    "quoted": '"a","b"\n"1","2.5"\n"-3e2",4\n',
    "blank trailing lines": "a,b\n1,2.5\n-3e2,4\n\n  \n\n",
    "blank leading lines": "\n\na,b\n1,2.5\n-3e2,4",
    "no newline at the end": "a,b\n1,2.5\n-3e2,4",
    "byte order mark": "\ufeffa,b\n1,2.5\n-3e2,4\n",
    "DOS lines": "a,b\r\n1,2.5\r\n-3e2,4\r\n",
    "old Mac lines": "a,b\r1,2.5\r-3e2,4\r",
    "names in a comment": "# made by hand\n# a b\n1 2.5\n-3e2 4\n",
    "names below comments": "# made by hand, in 2020\n# m, kg\na,b\n1,2.5\n-3e2,4\n",
    "a hundred comments": "# comment, with commas\n" * 100 + "a;b\n1;2.5\n-3e2;4\n",
    "bars": "a|b\n1|2.5\n-3e2|4\n",
    "bars and blanks": "a | b\n1 | 2.5\n-3e2 | 4\n",
    "line for Excel": "sep=;\na;b\n1;2.5\n-3e2;4\n",
    "quoted line for Excel": '\ufeff"sep=|"\r\na|b\r\n1|2.5\r\n-3e2|4\r\n',
    "decimal commas": "a;b\n1;2,5\n-3e2;4,0\n",
    "decimal commas and tabs": '"a"\t"b"\n1,0\t"2,5"\n-3,00e2\t4\n',
    "decimal commas of three digits": "a;b\n1,000;2,500\n-300,000;4,000\n0,500;0,001\n",
    "a delimiter at the end": "a,b,\n1,2.5,\n-3e2,4,\n",
    "a delimiter at the end of rows": "a;b\n1;2.5;\n-3e2;4;\n",
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
def test_csv_layouts(text: str, tmp_path: Path) -> None:
    """Every layout of a text table is read alike."""
    table = read_table(write(tmp_path / "table.txt", text))
    assert table.names == ["a", "b"]
    np.testing.assert_array_equal(table.values[:2], [[1, 2.5], [-300, 4]])


LABELED = {
    "pandas": ",a,b\n0,1,2.5\n1,3,4\n",
    "pandas, some of the rows": ",a,b\n17,1,2.5\n5,3,4\n",
    "pandas, dates": ",a,b\n2020-01-01,1,2.5\n2020-01-02,3,4\n",
    "pandas, twice": ",Unnamed: 0,a,b\n0,3,1,2.5\n1,7,3,4\n",
    "R, write.csv": '"","a","b"\n"1",1,2.5\n"2",3,4\n',
    "R, write.csv2": '"";"a";"b"\n"1";1;2,5\n"2";3;4\n',
    "R, write.table": '"a" "b"\n"1" 1 2.5\n"2" 3 4\n',
    "R, write.table of named rows": '"a" "b"\n"Mazda RX4" 1 2.5\n"Fiat 128" 3 4\n',
    "R, write.table with tabs": "a\tb\nx\t1\t2.5\nx\t3\t4\n",
}


@pytest.mark.parametrize("text", LABELED.values(), ids=LABELED)
def test_labels_of_rows_are_no_feature(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names and numbers of rows, as pandas and R write them, are left out, which is told with the way to keep them."""
    path = write(tmp_path / "table.csv", text)
    table = read_table(path)
    assert table.names == ["a", "b"]
    np.testing.assert_array_equal(table.values, [[1, 2.5], [3, 4]])
    told = capsys.readouterr().err
    assert told.startswith(f"fastgmm: note: {path}: left out: ")
    assert "(labels of rows)" in told
    columns = re.search(r"--columns (\S+)", told)
    assert columns is not None
    if re.fullmatch(r"[^a-z]*a[^a-z]*b[^a-z-]*", text):  # the labels are numbers
        assert read_table(path, columns[1]).values.shape == (2, 3)
    np.testing.assert_array_equal(read_table(path, "b").values, [[2.5], [4]])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", [",a\n0.5,1\n1.5,2\n", ",a\n1,1\n1,2\n", "x,a\n0,1\n1,2\n", "x\n0\n1\n"])
def test_other_first_columns_are_features(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A first column with a name, of measurements or with repeated numbers is a feature like others."""
    table = read_table(write(tmp_path / "table.csv", text))
    assert table.values.shape[1] == text.split("\n")[0].count(",") + 1
    assert capsys.readouterr().err == ""


def test_pandas_round_trip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What pandas writes by default is read as the columns that it holds, with names that are text or numbers."""
    pandas = pytest.importorskip("pandas")
    values = np.random.default_rng(0).normal(size=(60, 3))
    for names in (["a", "b", "c"], [0, 1, 2], [2019, 2020, 2021]):
        for index in (None, np.arange(60)[::-1] * 3, [f"row {i}" for i in range(60)]):
            frame = pandas.DataFrame(values, columns=names, index=index)
            for options in ({}, {"sep": ";", "decimal": ","}, {"sep": "\t"}):
                frame.to_csv(tmp_path / "table.csv", **options)
                table = read_table(str(tmp_path / "table.csv"))
                assert table.names == list(map(str, names))
                np.testing.assert_array_equal(table.values, values)
                assert "labels of rows" in capsys.readouterr().err
    for index in (None, np.arange(60)[::-1]):
        path = tmp_path / "table.parquet"
        pandas.DataFrame(values, columns=list("abc"), index=index).to_parquet(path)
        np.testing.assert_array_equal(read_table(str(path)).values, values)


@pytest.mark.parametrize(
    ("text", "doubtful"),
    [
        ("0,1\n0.5,1.5\n2.5,3.5\n", True),
        ("0,1,2\n5,7,1\n2,3,4\n", True),
        ("1990,1991\n5,7\n2,3\n", True),
        ("3;7\n0,5;1,5\n", True),
        ("7\n0.5\n1.5\n", True),
        ("1,2\n3,4\n", False),
        ("1,2\n3.5,4\n", False),
        ("0\n1\n2\n", False),
        ("1,1\n0.5,1.5\n", False),
        ("0.0,1.0\n0.5,1.5\n", False),
    ],
)
def test_header_of_numbers(text: str, doubtful: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A first line of numbers is a row, with a warning where it looks like names; an option settles it either way."""
    path = write(tmp_path / "table.csv", text)
    lines = len(text.split())
    assert len(read_table(path).values) == lines
    assert ("say --header or --no-header" in capsys.readouterr().err) == doubtful
    named = read_table(path, request=Request(header=True))
    assert named.names == re.split("[,;]", text.split("\n")[0])
    assert len(named.values) == lines - 1
    assert len(read_table(path, request=Request(header=False)).values) == lines
    assert capsys.readouterr().err == ""


def test_header_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """fit, select and predict take --header and --no-header."""
    path, model = write(tmp_path / "table.csv", "1990,1991\n5,7\n2,3\n1,4\n"), str(tmp_path / "model.npz")
    for option, rows, names in (("--header", 3, "1990, 1991"), ("--no-header", 4, "column 1, column 2")):
        assert main(["fit", path, "-k", "1", option, "--save", model]) == 0
        assert f"{rows} rows" in capsys.readouterr().out
        assert main(["show", model]) == 0
        assert names in capsys.readouterr().out
        assert main(["predict", "--model", model, path, option]) == 0
        assert len(capsys.readouterr().out.split()) == rows + 1
        assert main(["select", path, "-k", "1", "--covariance-types", "diag", option]) == 0
        assert f"{rows} rows" in capsys.readouterr().out


def test_names_that_are_partly_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Years beside a word, above columns of numbers, are names; it is told."""
    path = write(tmp_path / "table.csv", "height,1990,1991\n1.5,5,7\n2.5,2,3\n")
    assert read_table(path).names == ["height", "1990", "1991"]
    assert "say --no-header if it is a row" in capsys.readouterr().err


def test_utf16(tmp_path: Path) -> None:
    """UTF-16, which spreadsheets call Unicode text, is read."""
    table = read_table(write(tmp_path / "table.txt", "Länge\tb\n1\t2\n".encode("utf-16")))
    assert table.names == ["Länge", "b"]
    np.testing.assert_array_equal(table.values, [[1, 2]])


@pytest.mark.parametrize("text", ["1,2\n3,4\n", "\ufeff1,2\n3,4", "# by hand in 2020\n1,2\n3,4\n", '"1","2"\n3,4'])
def test_no_header(text: str, tmp_path: Path) -> None:
    """Without names the columns are numbered, and no row is lost."""
    table = read_table(write(tmp_path / "table.csv", text))
    assert table.names == ["column 1", "column 2"]
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4]])


@pytest.mark.parametrize("text", ["1\n2\n", "x\n1\n2\n", '"x, y"\n1\n2\n'])
def test_one_column(text: str, tmp_path: Path) -> None:
    """A single column needs no delimiter."""
    np.testing.assert_array_equal(read_table(write(tmp_path / "table.csv", text)).values, [[1], [2]])


MIXED = 'id,"size, cm",kind,mass,kind\nr1,1,red,2,x\nr2,3,"blue, light",4,y\n'


@pytest.mark.parametrize(
    ("columns", "names", "values"),
    [
        ('mass,"size, cm"', ["mass", "size, cm"], [[2, 1], [4, 3]]),
        ("2,4", ["size, cm", "mass"], [[1, 2], [3, 4]]),
        (" mass ", ["mass"], [[2], [4]]),
    ],
)
def test_choice_of_columns(columns: str, names: list[str], values: list[list[float]], tmp_path: Path) -> None:
    """Columns are chosen by name or number, in the order given."""
    table = read_table(write(tmp_path / "table.csv", MIXED), columns)
    assert table.names == names
    np.testing.assert_array_equal(table.values, values)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
@given(
    data=hnp.arrays(
        st.sampled_from(["f8", "f4"]),
        st.tuples(st.integers(1, 6), st.integers(1, 5)),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    header=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_csv_round_trip(
    delimiter: str, data: np.ndarray, header: bool, quoting: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What the csv module writes is read back bit for bit."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=quoting)
    names = [f"x {i}" for i in range(data.shape[1])]
    if header:
        writer.writerow(names)
    writer.writerows([[repr(float(value)) for value in row] for row in data])
    path = write(tmp_path_factory.mktemp("round") / "table.csv", stream.getvalue())
    table = read_table(path)
    np.testing.assert_array_equal(table.values, data.astype(np.float64))
    if header:
        assert [name.split() for name in table.names] == [name.split() for name in names]


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", ">f8", "?"])
def test_npy(dtype: str, tmp_path: Path) -> None:
    """Arrays of every real kind are mapped from the file, whole or by column."""
    data = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    path = tmp_path / "data.npy"
    np.save(path, data)
    table = read_table(str(path))
    assert isinstance(table.values, np.memmap)
    assert table.values.dtype == data.dtype
    np.testing.assert_array_equal(table.values, data)
    np.testing.assert_array_equal(read_table(str(path), "3,1").values, data[:, [2, 0]])
    np.save(path, data[0])
    assert read_table(str(path)).values.shape == (3, 1)


# Errors


BAD_TABLES = {
    "empty": ("", "empty"),
    "blank": ("\n \n", "empty"),
    "names only": ("a,b\n", "no rows"),
    "text column": ("a,kind\n1,red\n2,blue\n", "not numeric: 'kind' (holds 'red'); choose the others with --columns 1"),
    "text columns": ("u,a,v\nx,1,y\nx,2,z\n", "not numeric: 'u', 'v'"),
    "text only": ("a,b\nx,y\nz,w\n", "columns of numbers"),
    "decimal comma or not": ("a;b\n1,500;2,500\n", "with a decimal point, and nothing between thousands"),
    "decimal comma and point": ("a;b\n1,5;2.5\n", "with a decimal point, and nothing between thousands"),
    "point far down": ("a;b\n" + "1,5;2\n" * 99 + "1.500;2\n", "line 101: the value of 'a' is not a number ('1,500')"),
    "one wrong cell": ("a,b\n1,2\n\n3,oops\n", "line 4: the value of 'b' is not a number ('oops')"),
    "wrong cell far down": ("a,b\n" + "1,2\n" * 999 + "1,x\n", "line 1001: the value of 'b' is not a number ('x')"),
    "empty cell": ("a,b\n1,2\n,4\n", "line 3: the value of 'a' is missing ('')"),
    "NA": ("a,b\nNA,2\n3,4\n", "line 2: the value of 'a' is missing ('NA')"),
    "nan": ("1,2\nnan,4\n", "line 2: the value of 'column 1' is missing ('nan')"),
    "infinity": ("1,2\n3,-inf\n", "line 2: the value of 'column 2' is infinite ('-inf')"),
    "short row": ("a,b\n1,2\n3\n", "line 3: 1 cell instead of 2"),
    "long row": ("a,b\n1,2\n3,4,5\n", "line 3: 3 cells instead of 2"),
    "every row long": ("a,b\n1,2,3,4\n4,5,6,7\n", "line 2: 4 cells instead of 2"),
    "zip": (b"PK\x03\x04\x14\x00\x06\x00", "not a text table"),
    "noise": (bytes(range(256)) * 9, "not a text table"),
    "pickle": (pickle.dumps([1.0, 2.0]), "not a text table"),
    "quote never closed": ('a,b\n1,2\n"3,4\n', "line 3"),
    "underscores": ("1,2\n3,1_0\n", "1_0"),
}


@pytest.mark.parametrize(("text", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_tables(text: str | bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table that cannot be fitted is refused in one line that says where and why."""
    path = write(tmp_path / "table.csv", text)
    error = refused(capsys, "fit", path, "-k", "1")
    assert path in error
    assert message in error


def test_rows_of_wrong_length_are_seen_among_chosen_columns(tmp_path: Path) -> None:
    """A comma too many in a text column is not taken for a shift of the numbers."""
    path = write(tmp_path / "table.csv", "kind,a,b\nred,1,2\nblue,light,3,4\n")
    with pytest.raises(CommandError, match="line 3: 4 cells instead of 3"):
        read_table(path, "a,b")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("5x", "no column '5x'"),
        ("0", "no column '0'"),
        ("6", "number from 1 to 5"),
        ("kind", "several columns named 'kind'"),
        ("mass,4", "twice"),
        ("id,mass", "not numeric: 'id'"),
        ("", "no column"),
    ],
)
def test_bad_columns(columns: str, message: str, tmp_path: Path) -> None:
    """A column that is not there, or not clear, is refused with the ones that are."""
    with pytest.raises(CommandError, match=re.escape(message)):
        read_table(write(tmp_path / "table.csv", MIXED), columns)


def bad_arrays() -> dict[str, tuple[bytes, str]]:
    """Files that np.save can write but a mixture cannot be fitted to, and damaged ones."""

    def saved(array: Any) -> bytes:
        stream = io.BytesIO()
        np.save(stream, array)
        return stream.getvalue()

    archive = io.BytesIO()
    np.savez(archive, a=np.zeros((2, 2)))
    whole = saved(np.zeros((5, 2)))
    return {
        "objects": (saved(np.array([[1, "a"]], dtype=object)), "numpy.save"),
        "pickle": (pickle.dumps(np.zeros((3, 2))), "numpy.save"),
        "text": (b"1,2\n3,4\n", "numpy.save"),
        "archive": (archive.getvalue(), "several arrays"),
        "truncated": (whole[:-8], "numpy.save"),
        "header only": (whole[:40], "numpy.save"),
        "complex": (saved(np.zeros((2, 2), dtype=complex)), "complex128"),
        "strings": (saved(np.array([["a", "b"]])), "<U1"),
        "records": (saved(np.zeros(3, dtype=[("a", "f8")])), "numpy.save"),
        "three dimensions": (saved(np.zeros((2, 2, 2))), "shape (2, 2, 2)"),
        "no rows": (saved(np.zeros((0, 2))), "shape (0, 2)"),
        "number": (saved(1.0), "shape ()"),
        "nan": (saved(np.array([[0.0, 1.0], [2.0, np.nan]])), "row 2 of column 2 is nan"),
    }


@pytest.mark.parametrize(("content", "message"), bad_arrays().values(), ids=bad_arrays())
def test_bad_arrays(content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A .npy file that is no table of numbers is refused in one line, and never unpickled."""
    path = write(tmp_path / "data.npy", content)
    assert message in refused(capsys, "fit", path, "-k", "1")


BAD_FITS = {
    "no components": (["fit", "FILE"], "--components"),
    "no file named": (["fit", "-k", "2"], "FILE"),
    "no such command": (["fti"], "fti"),
    "no such option": (["fit", "FILE", "-k", "2", "--colour"], "--colour"),
    "no component": (["fit", "FILE", "-k", "0"], "'0' is not a whole number of at least 1"),
    "half a component": (["fit", "FILE", "-k", "1.5"], "'1.5' is not a whole number"),
    "negative tol": (["fit", "FILE", "-k", "2", "--tol", "-1"], "'-1' is not a number of at least 0.0"),
    "nan": (["fit", "FILE", "-k", "2", "--reg-covar", "nan"], "'nan' is not a number of at least 0.0"),
    "huge seed": (["fit", "FILE", "-k", "2", "--seed", str(2**32)], "4294967295"),
    "structure": (["fit", "FILE", "-k", "2", "--covariance-type", "round"], "round"),
    "too many components": (["fit", "FILE", "-k", "273"], "--components 273 is more than the 272 rows"),
    "no such file": (["fit", "absent.csv", "-k", "2"], "cannot read absent.csv: No such file or directory"),
    "directory": (["fit", ".", "-k", "2"], "it is not a file"),
    "output is a directory": (["fit", "FILE", "-k", "2", "-o", "."], "cannot write .: it is a directory"),
    "output nowhere": (["fit", "FILE", "-k", "2", "-o", "no/where.csv"], "there is no directory"),
    "output over input": (["fit", "FILE", "-k", "2", "-o", "FILE"], "it is the table to fit"),
    "plot over output": (["fit", "FILE", "-k", "2", "-o", "a.png", "--plot", "a.png"], "both name a.png"),
    "plot of no format": (["fit", "FILE", "-k", "2", "--plot", "a.txt"], "end its name in .png"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_FITS.values(), ids=BAD_FITS)
def test_bad_commands(
    arguments: list[str],
    message: str,
    faithful_csv: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A command that cannot be carried out is refused in one line, and leaves no file behind."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    assert message in refused(capsys, *(faithful_csv if word == "FILE" else word for word in arguments))
    assert os.listdir(tmp_path) == ["faithful.csv"]


def test_bad_command_in_its_own_process(tmp_path: Path) -> None:
    """A refused command ends its process with status 2 and one line."""
    done = run_python("-m", "fastgmm", "fit", "absent.csv", "-k", "2", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"fastgmm: error: cannot read absent\.csv: .*\n", done.stderr)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything is permitted to root")
def test_permissions(faithful_csv: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that may not be read and a folder that may not be written are named."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    assert main(["fit", faithful_csv, "-k", "2", "-o", str(locked / "labels.csv")]) == 2
    assert "permission denied" in capsys.readouterr().err
    os.chmod(faithful_csv, 0)
    assert main(["fit", faithful_csv, "-k", "2"]) == 2
    assert "Permission denied" in capsys.readouterr().err


def test_closed_pipe(faithful_csv: str, tmp_path: Path) -> None:
    """A closed pipe at the end of the output is no error."""
    process = subprocess.Popen(
        [*COMMAND, "fit", faithful_csv, "-k", "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=limit(120)) == 0


# The adjusted Rand index


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0, 0, 1, 1], [5, 5, 3, 3], 1.0),
        ([0, 0, 1, 1], [0, 1, 0, 1], -0.5),
        ([0, 0, 1, 2], [0, 0, 1, 1], 4 / 7),
        ([0, 0, 0], [0, 0, 0], 1.0),
        ([0, 1, 2], [2, 0, 1], 1.0),
        ([0, 0, 0], [0, 1, 2], 0.0),
        ([7], [3], 1.0),
    ],
)
def test_adjusted_rand_index(first: list[int], second: list[int], expected: float) -> None:
    """Cases worked by hand, and the partitions for which the quotient is 0 / 0."""
    assert adjusted_rand_index(first, second) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-2, 2)), min_size=1, max_size=40))
def test_adjusted_rand_index_equals_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    """Any two partitions agree as in scikit-learn."""
    metrics = pytest.importorskip("sklearn.metrics")
    first, second = zip(*pairs, strict=True)
    expected = metrics.adjusted_rand_score(first, second)
    assert adjusted_rand_index(first, second) == pytest.approx(expected, abs=1e-12)
