"""The commands fit, predict, show and select on files and pipes give what the same calls in Python return."""

from __future__ import annotations

import contextlib
import csv
import importlib
import importlib.metadata
import io
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import COMMAND, DATASETS, PNG, disk_full, limit, refused, run_python

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.cli import main
from fastgmm.cli.tables import Request, read_table
from fastgmm.exceptions import CommandError

NAMES = ["eruptions", "waiting"]
X: np.ndarray = DATASETS["faithful"]
COUNTS = np.arange(len(X)) % 3 + 1.0


def write_csv(path: Path, rows: Any, names: list[str], delimiter: str = ",") -> str:
    """Write a table as text and return its name; NaN is an empty cell."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter)
        writer.writerow(names)
        writer.writerows([["" if value != value else repr(float(value)) for value in row] for row in np.asarray(rows)])
    return str(path)


@pytest.fixture
def table(tmp_path: Path) -> str:
    """A CSV file with the Old Faithful eruptions, and a column of counts between them."""
    rows = np.column_stack([X[:, 0], COUNTS, X[:, 1]])
    return write_csv(tmp_path / "table.csv", rows, [NAMES[0], "count", NAMES[1]])


@pytest.fixture
def model(tmp_path: Path) -> str:
    """The name of a saved mixture of the eruptions, fitted to named columns."""
    mixture = GaussianMixture(2, random_state=0).fit(X)
    mixture.feature_names_in_ = np.array(NAMES, dtype=object)
    path = str(tmp_path / "model.npz")
    mixture.save(path)
    return path


def read_records(path: Path) -> dict[str, np.ndarray]:
    """The columns of a CSV file that was written, by name."""
    header, *rows = csv.reader(path.read_text().splitlines())
    return {name: np.array(column, dtype=float) for name, column in zip(header, zip(*rows, strict=True), strict=True)}


# Fit, keep, show, predict


def test_fit_save_show_predict(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mixture that was fitted and kept is shown and applied as in Python, to the last bit of text and .npy."""
    kept, written, records = tmp_path / "m.npz", tmp_path / "fit.csv", tmp_path / "new.npy"
    chosen = ["--columns", "eruptions,waiting", "--weights", "count"]
    everything = ["--proba", "--score", "--output"]
    options = ["-k", "2", "--seed", "3", "--init-params", "random_from_data", "--reg-covar", "auto"]
    assert main(["fit", table, *options, *chosen, "--save", str(kept), *everything, str(written)]) == 0
    report = capsys.readouterr().out
    assert f"model: {kept}" in report
    assert f"of total weight {COUNTS.sum():g}" in report

    mixture = GaussianMixture(2, random_state=3, init_params="random_from_data", reg_covar="auto")
    mixture.fit(X, sample_weight=COUNTS)
    assert f"{mixture.score(X, sample_weight=COUNTS):.6f} per sample" in report
    loaded = fastgmm.load(kept)
    np.testing.assert_array_equal(loaded.covariances_, mixture.covariances_)
    assert list(loaded.feature_names_in_) == NAMES
    columns = read_records(written)
    np.testing.assert_array_equal(columns["label"], mixture.predict(X))
    np.testing.assert_array_equal(np.column_stack([columns["proba_0"], columns["proba_1"]]), mixture.predict_proba(X))
    np.testing.assert_array_equal(columns["log_density"], mixture.score_samples(X))

    assert main(["predict", "--model", str(kept), table, *everything, str(records)]) == 0
    found = np.load(records)
    np.testing.assert_array_equal(found["label"], mixture.predict(X))
    np.testing.assert_array_equal(found["proba"], mixture.predict_proba(X))
    np.testing.assert_array_equal(found["log_density"], mixture.score_samples(X))
    capsys.readouterr()

    assert main(["show", str(kept)]) == 0
    shown = capsys.readouterr().out
    deviations = np.sqrt(np.diagonal(mixture.covariances_, axis1=1, axis2=2))
    for k in range(2):
        line = next(line for line in shown.splitlines() if line.strip().startswith(f"{k} "))
        expected = [k, mixture.weights_[k], *np.column_stack([mixture.means_[k], deviations[k]]).ravel()]
        assert [float(number) for number in re.findall(r"[\d.]+", line)] == pytest.approx(expected, abs=0.0051)
    correlations = mixture.covariances_[:, 0, 1] / deviations.prod(axis=1)
    pair = next(line for line in shown.splitlines() if line.startswith("eruptions ~ waiting"))
    assert [float(word) for word in pair.split()[-2:]] == pytest.approx(correlations, abs=0.0051)
    assert f"converged after {mixture.n_iter_} iterations" in shown
    file = next(line for line in shown.splitlines(keepends=True) if line.startswith("file"))
    assert shown.replace(file, "").rstrip("\n") == loaded.summary()
    assert "reg_covar='auto'" in shown


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_show_from_parameters(structure: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mixture that no fit has made is shown too, with numbers for names; correlations where there are some."""
    covariances: Any = {"full": [np.eye(2)] * 2, "tied": np.eye(2), "diag": np.ones((2, 2)), "spherical": [1.0, 1.0]}
    path = tmp_path / "model.npz"
    GaussianMixture.from_parameters([0.25, 0.75], X[:2], covariances[structure], structure).save(path)
    assert main(["show", str(path)]) == 0
    out = capsys.readouterr().out
    assert "made from parameters" in out
    assert "column 2" in out
    assert ("correlations" in out) == (structure in ("full", "tied"))


def stored(tmp_path: Path, kind: str) -> str:
    """A file of this kind with the eruptions."""
    path = tmp_path / f"data.{kind}"
    if kind == "npy":
        np.save(path, X)
    elif kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(
            pyarrow.table({NAMES[0]: X[:, 0], "kind": ["a"] * len(X), NAMES[1]: X[:, 1]}), path
        )
    else:
        write_csv(path, X, NAMES, "\t" if kind == "tsv" else ",")
    return str(path)


@pytest.mark.parametrize("way", ["file", "stdin", "spooled"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "npy", "parquet"])
def test_kinds_of_tables(
    kind: str, way: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every kind of table gives the same labels, from a file, a pipe, and a mapped temporary file."""
    path = stored(tmp_path, kind)
    if way == "spooled":
        monkeypatch.setattr("fastgmm.cli.tables.SMALL", 0)
    elif way == "stdin":
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path(path).read_bytes())))
        path = "-"
    if kind == "parquet":
        assert isinstance(read_table(path, "waiting,eruptions").values, np.memmap) == (way == "spooled")
        if way == "stdin":
            sys.stdin.buffer.seek(0)
    assert main(["predict", "--model", model, path]) == 0
    header, *labels = capsys.readouterr().out.split()
    assert header == "label"
    np.testing.assert_array_equal(np.array(labels, int), GaussianMixture(2, random_state=0).fit_predict(X))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_named_pipe(tmp_path: Path) -> None:
    """A named pipe, as a shell makes for <(command), is read."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("a,b\n1,2\n3,4\n",))
    writer.start()
    np.testing.assert_array_equal(read_table(str(pipe)).values, [[1, 2], [3, 4]])
    writer.join()


def test_predict_finds_columns(model: str, table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns are those of the fit by name, in any order; without names, all of them; or those that are typed."""
    expected = GaussianMixture(2, random_state=0).fit_predict(X)
    plain = tmp_path / "plain.csv"
    np.savetxt(plain, X, delimiter=",")
    turned = write_csv(tmp_path / "turned.csv", X[:, ::-1], NAMES[::-1])
    renamed = write_csv(tmp_path / "renamed.csv", X, ["u", "v"])
    for arguments in ([table], [str(plain)], [turned], [renamed, "--columns", "u,v"], [table, "--columns", "1,3"]):
        assert main(["predict", "--model", model, *arguments]) == 0
        np.testing.assert_array_equal(np.array(capsys.readouterr().out.split()[1:], int), expected)
    assert "no column 'eruptions'" in refused(capsys, "predict", "--model", model, renamed)
    assert "--columns names 1" in refused(capsys, "predict", "--model", model, table, "--columns", "1")
    np.savetxt(plain, np.column_stack([X, X]), delimiter=",")
    assert "has 4 columns, but the mixture was fitted to 2" in refused(capsys, "predict", "--model", model, str(plain))


def test_labels_to_the_standard_output(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--output -` the standard output holds the labels alone, and the report goes elsewhere."""
    assert main(["fit", table, "-k", "2", "--columns", "1,3", "--output", "-"]) == 0
    out, err = capsys.readouterr()
    np.testing.assert_array_equal(np.array(out.split()[1:], int), GaussianMixture(2, random_state=0).fit_predict(X))
    assert err.startswith("Gaussian mixture of 2 components")


# Gaps and weights


def test_missing_values(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Gaps are refused with the remedy, and with `--missing em` fitted and applied as in Python."""
    gappy = X.copy()
    gappy[::7, 1] = np.nan
    path, output, kept = write_csv(tmp_path / "gaps.csv", gappy, NAMES), tmp_path / "o.npy", str(tmp_path / "m.npz")
    assert "line 2: the value of 'waiting' is missing" in (message := refused(capsys, "fit", path, "-k", "2"))
    assert "--missing em" in message
    assert main(["fit", path, "-k", "2", "--missing", "em", "--save", kept, "-o", str(output)]) == 0
    mixture = GaussianMixture(2, missing="em", random_state=0).fit(gappy)
    np.testing.assert_array_equal(fastgmm.load(kept).means_, mixture.means_)
    np.testing.assert_array_equal(np.load(output), mixture.predict(gappy))
    assert main(["predict", path, "--model", kept, "-o", str(output)]) == 0
    np.testing.assert_array_equal(np.load(output), mixture.predict(gappy))
    capsys.readouterr()
    assert "is missing" in refused(capsys, "predict", path, "--model", model)
    assert main(["predict", path, "--model", model, "--missing", "em", "-o", str(output)]) == 0


def test_missing_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing weight is an error whatever happens to missing values."""
    rows = np.column_stack([X, COUNTS])
    rows[4, 2] = np.nan
    path = write_csv(tmp_path / "table.csv", rows, [*NAMES, "n"])
    message = refused(capsys, "fit", path, "-k", "2", "--weights", "n", "--missing", "em")
    assert "line 6: the value of 'n' is missing" in message
    np.save(tmp_path / "table.npy", rows)
    message = refused(capsys, "fit", str(tmp_path / "table.npy"), "-k", "2", "--weights", "3", "--missing", "em")
    assert "row 5 of 3 is nan" in message


def test_weights_are_no_feature(table: str) -> None:
    """The column of weights is left out of the others, whatever the order of columns."""
    found = read_table(table, request=Request("waiting,eruptions", "count"))
    assert found.names == ["waiting", "eruptions"]
    np.testing.assert_array_equal(found.values, X[:, ::-1])
    assert found.weights is not None
    np.testing.assert_array_equal(found.weights, COUNTS)
    assert read_table(table, request=Request(weights="2")).names == NAMES


# Select


def test_select(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table, its file and the best mixture are those of fastgmm.select."""
    kept, output = tmp_path / "best.npz", tmp_path / "candidates.csv"
    arguments = ["-k", "1-2,4", "--covariance-types", "tied,diag", "--criterion", "icl", "--columns", "1,3"]
    assert main(["select", table, *arguments, "--seed", "1", "--save", str(kept), "-o", str(output)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    expected = fastgmm.select(X, [1, 2, 4], ["tied", "diag"], "icl", random_state=1)
    assert str(expected) in out
    assert "6 candidates by icl" in out
    np.testing.assert_array_equal(fastgmm.load(kept).means_, expected.best_estimator_.means_)
    header, *rows = csv.reader(output.read_text().splitlines())
    assert header == list(expected.table_.dtype.names or ())
    column = header.index("icl")
    assert [float(row[column]) for row in rows] == expected.table_["icl"].tolist()


def test_select_plot(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`fastgmm select --plot` draws the criterion, here of cross-validation."""
    pytest.importorskip("matplotlib")
    picture = tmp_path / "curves.png"
    options = ["--criterion", "cv", "--folds", "3", "-k", "1-2", "--covariance-types", "diag"]
    assert main(["select", table, *options, "--plot", str(picture)]) == 0
    assert "best" in capsys.readouterr().out
    assert picture.read_bytes().startswith(PNG)


# What cannot be done


BAD_COMMANDS = {
    "no model named": (["predict", "TABLE"], "--model"),
    "no such model": (["show", "absent.npz"], "cannot read absent.npz: No such file"),
    "no model": (["show", "TABLE"], "is not a model"),
    "predicts with a table": (["predict", "--model", "TABLE", "TABLE"], "is not a model"),
    "over the model": (["predict", "--model", "MODEL", "TABLE", "-o", "MODEL"], "it is the model"),
    "save over the table": (["fit", "TABLE", "-k", "2", "--save", "TABLE"], "it is the table to fit"),
    "save over output": (["fit", "TABLE", "-k", "2", "--save", "a", "-o", "a"], "--output and --save both name a"),
    "foreign output": (["fit", "TABLE", "-k", "2", "-o", "a.xlsx"], "end its name in .csv, .tsv or .npy"),
    "proba to nowhere": (["fit", "TABLE", "-k", "2", "--proba"], "--output"),
    "empty range": (["select", "TABLE", "-k", "3-2"], "smaller number first"),
    "no range": (["select", "TABLE", "-k", "1-"], "'' is not a whole number"),
    "no structure": (["select", "TABLE", "--covariance-types", "full,round"], "'round' is not among all, full"),
    "one fold": (["select", "TABLE", "--folds", "1"], "'1' is not a whole number of at least 2"),
    "all fail": (["select", "TABLE", "-k", "999"], "cannot select: None of the 4 candidates"),
    "no such start": (["fit", "TABLE", "-k", "2", "--init-params", "zero"], "zero"),
    "weights are features": (["fit", "TABLE", "-k", "2", "--weights", "1", "--columns", "1"], "both a feature and"),
    "no such weights": (["fit", "TABLE", "-k", "2", "--weights", "mass"], "has no column 'mass'"),
    "reg_covar": (["fit", "TABLE", "-k", "2", "--reg-covar", "much"], "'much' is not a number"),
    "spreadsheet": (["fit", "BOOK", "-k", "2"], "not a table as it is"),
    "no parquet": (["fit", "PARQUET", "-k", "2"], "cannot read"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD_COMMANDS.values(), ids=BAD_COMMANDS)
def test_bad_commands(
    arguments: list[str], message: str, table: str, model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that cannot be carried out is refused in one line."""
    if "PARQUET" in arguments:
        pytest.importorskip("pyarrow")
    files = {"TABLE": table, "MODEL": model, "BOOK": tmp_path / "a.xlsx", "PARQUET": tmp_path / "a.parquet"}
    for name in ("BOOK", "PARQUET"):
        files[name].write_text("some text\n")  # type: ignore[union-attr]
    before = sorted(os.listdir(tmp_path))
    with contextlib.chdir(tmp_path):
        assert message in refused(capsys, *(str(files.get(word, word)) for word in arguments))
    assert sorted(os.listdir(tmp_path)) == before


def test_parquet_without_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A column of text is named, with the columns that would do; an infinite number by its row."""
    path = stored(tmp_path, "parquet")
    message = refused(capsys, "fit", path, "-k", "2")
    assert "not numeric: 'kind'; choose the others with --columns eruptions,waiting" in message
    pyarrow = pytest.importorskip("pyarrow")
    pyarrow.parquet.write_table(pyarrow.table({"a": [1.0, np.inf], "b": [1.0, 2.0]}), path)
    assert "row 2 of a is inf" in refused(capsys, "fit", path, "-k", "1")


def test_parquet_without_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without pyarrow the error names what to install."""
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    assert "pip install 'fastgmm[files]'" in refused(capsys, "fit", str(path), "-k", "2")


def test_error_far_down_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is found wrong after many chunks is named by its number, blank lines counted."""
    monkeypatch.setattr("fastgmm.sources.files.CHUNK_BYTES", 1 << 10)
    monkeypatch.setattr("fastgmm.cli.tables.SMALL", 0)
    path = tmp_path / "table.csv"
    path.write_text("a,b,c\n" + "1,2,x\n\n" * 500 + "3,4,x,y\n")
    with pytest.raises(CommandError, match="line 1002: 4 cells instead of 3"):
        read_table(str(path), "a,b")
    path.write_text("a,b,c\n" + "1,2,x\n\n" * 500 + "3,1e999,x\n")
    with pytest.raises(CommandError, match="line 1002: the value of 'b' is infinite"):
        read_table(str(path), "a,b")


def test_text_of_another_encoding(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 do not matter in columns left out."""
    path = tmp_path / "table.csv"
    path.write_bytes("a,Straße,b\n1,Köln,2\n3,Genève,4\n".encode("latin-1"))
    np.testing.assert_array_equal(read_table(str(path), "a,b").values, [[1, 2], [3, 4]])


def test_no_space_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk under the temporary files is named, with the remedy."""

    monkeypatch.setattr("fastgmm.cli.tables.SMALL", 0)
    monkeypatch.setattr("fastgmm.cli.tables.spooled", disk_full)
    assert "TMPDIR" in refused(capsys, "fit", write_csv(tmp_path / "t.csv", X, NAMES), "-k", "2")


# Processes


@pytest.mark.skipif(os.name != "posix", reason="needs pseudo-terminals")
@pytest.mark.parametrize("command", ["fit", "select"])
def test_progress_on_a_terminal(command: str, table: str) -> None:
    """A terminal sees a line that is written again, and wiped away; a pipe sees nothing."""
    import pty

    arguments = [*COMMAND, command, table, "--columns", "1,3", "-k", "2"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=limit(120), check=True)
    assert done.stderr == ""
    ours, theirs = pty.openpty()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        assert process.stdout is not None
        out = process.stdout.read()
    seen = b""
    with contextlib.suppress(OSError):  # Linux ends a terminal so
        while part := os.read(ours, 1 << 16):
            seen += part
    os.close(ours)
    assert (b"272 rows read" in seen, seen.endswith(b"\r\x1b[K")) == (True, True)
    assert (b"tied, K = 2" in seen) == (command == "select")
    assert [line for line in out.splitlines() if " s" not in line] == [
        line for line in done.stdout.splitlines() if " s" not in line
    ]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_full_standard_output(table: str) -> None:
    """A failed write to the standard output is an error of one line."""
    with open("/dev/full", "w") as full:
        arguments = [*COMMAND, "fit", table, "-k", "2", "--output", "-"]
        done = subprocess.run(
            arguments, stdout=full, stderr=subprocess.PIPE, text=True, timeout=limit(120), check=False
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "fastgmm: error: cannot write the standard output: No space left on device"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["show", "m.npz"], []])
def test_wrong_variant(arguments: list[str], tmp_path: Path) -> None:
    """A wrong FASTGMM_SIMD, too, is one line for whoever types a command."""
    script = tmp_path / "fastgmm"
    script.write_text("from fastgmm.__main__ import main\nmain()\n")
    for program in (["-m", "fastgmm"], [str(script)]):
        done = run_python(*program, *arguments, cwd=tmp_path, environment={"FASTGMM_SIMD": "avx9"})
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(r"fastgmm: error: FASTGMM_SIMD='avx9' .*\n", done.stderr)


def test_console_script() -> None:
    """The console script is there, and is the command line."""
    try:
        scripts = importlib.metadata.distribution("fastgmm").entry_points.select(group="console_scripts")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("fastgmm was not installed from a wheel")
    (script,) = scripts
    assert (script.name, script.value) == ("fastgmm", "fastgmm.__main__:main")
    assert script.load() is importlib.import_module("fastgmm.__main__").main


PEAK = """
import re, sys
from fastgmm.cli import main
assert main(sys.argv[1:]) == 0
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_peak_memory_of_large_csv(tmp_path: Path) -> None:
    """A table whose numbers take 96 MB is fitted, from a pipe, and its rows labelled, in much less, and nothing stays.

    Beyond what the program itself takes: a few chunks of text and numbers.
    """
    digits = np.random.default_rng(0).integers(10, size=(5000, 12))
    lines = "".join(",".join(map(str, row)) + "\n" for row in digits.tolist())
    folder = tmp_path / "temporary"
    folder.mkdir()

    def kilobytes(*arguments: str, stdin: Any = subprocess.DEVNULL) -> int:
        environment = {"TMPDIR": str(folder), "FASTGMM_NUM_THREADS": "2"}
        done = run_python("-c", PEAK, *arguments, stdin=stdin, environment=environment, cwd=tmp_path, check=True)
        return int(done.stderr)

    (tmp_path / "table.csv").write_text(lines * 200)
    with open(tmp_path / "table.csv") as stream:
        options = ["-k", "2", "--max-iter", "2", "--output", "labels.npy"]
        peak = kilobytes("fit", "-", *options, stdin=stream)
    assert len(np.load(tmp_path / "labels.npy")) == 1_000_000
    assert os.listdir(folder) == []
    assert peak - kilobytes("config") < 60_000
