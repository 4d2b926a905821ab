"""Labels, probabilities and densities of rows, written chunk by chunk, for tables larger than memory."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..exceptions import CommandError
from ..sources.files import from_array
from .targets import suffix, written

BLOCK_NUMBERS = 1 << 18  # of rows or of probabilities that are looked at together
SAMPLE_ROWS = 20_000  # that a picture shows

Blocks = Callable[[dict[str, NDArray[Any]]], None]  # takes the results of some rows, by name


class Summary(NamedTuple):
    """The number of rows of each component, and the labels of as many rows as are drawn."""

    sizes: NDArray[np.int64]  # rows that belong to each component, and to noise
    sample: NDArray[Any]  # some of the rows without gaps, with
    labels: NDArray[np.int64]  # their components


def apply(
    mixture: Any, values: NDArray[Any], output: str | None, *, proba: bool = False, score: bool = False
) -> Summary:
    """Work out the component of each row, and what else is wanted of it, and write it where a file is named."""
    n_rows, n_components = len(values), len(mixture.weights_)
    step = max(1, BLOCK_NUMBERS // max(values.shape[1], n_components))
    every = -(-n_rows // SAMPLE_ROWS)
    start, sizes = 0, np.zeros(n_components + 1, dtype=np.int64)
    rows, labels = list[NDArray[Any]](), list[NDArray[np.int64]]()
    with _writer(output, n_rows, mixture, proba, score) as write:
        for block in from_array(values, step):  # copies, so that nothing of a mapped file stays in memory
            found = _results(mixture, block, proba, score)
            write(found)
            sizes += np.bincount(
                found["label"] % (n_components + 1), minlength=n_components + 1
            )  # noise, -1, comes last
            shown = np.arange(-start % every, len(block), every)
            shown = shown[np.isfinite(block[shown]).all(axis=1)]
            rows.append(block[shown])
            labels.append(found["label"][shown])
            start += len(block)
    return Summary(sizes, np.concatenate(rows), np.concatenate(labels))


def _results(mixture: Any, block: NDArray[Any], proba: bool, score: bool) -> dict[str, NDArray[Any]]:
    """Return what is wanted of some rows, by name."""
    try:
        found = {"label": mixture.predict(block)}
        if proba:
            found["proba"] = mixture.predict_proba(block)
        if score:
            found["log_density"] = mixture.score_samples(block)
    except ValueError as error:
        raise CommandError(f"cannot predict: {error}") from error
    return found


def _columns(mixture: Any) -> list[Any]:
    """Return what the columns of probabilities stand for."""
    return [*range(len(mixture.weights_)), *["noise"] * hasattr(mixture, "noise_weight_")]


@contextlib.contextmanager
def _writer(output: str | None, n_rows: int, mixture: Any, proba: bool, score: bool) -> Iterator[Blocks]:
    """Give what writes the results of rows, block after block."""
    if output is None:
        yield lambda _: None
    elif output == "-":
        yield _text(sys.stdout, mixture, proba, score, ",")
    elif suffix(output) == "npy":
        with written(output) as temporary, open(temporary, "wb") as stream:
            yield _npy(stream, n_rows, mixture, proba, score)
    else:
        delimiter = "\t" if suffix(output) == "tsv" else ","
        with written(output) as temporary, open(temporary, "w", encoding="ascii", newline="\n") as stream:
            yield _text(stream, mixture, proba, score, delimiter)


def _text(stream: Any, mixture: Any, proba: bool, score: bool, delimiter: str) -> Blocks:
    """Write the names of the columns; return what writes rows as text that reads back to the last bit."""
    shares = [f"proba_{name}" for name in _columns(mixture)] if proba else []
    stream.write(delimiter.join(["label", *shares, *["log_density"] * score]) + "\n")

    def write(found: dict[str, NDArray[Any]]) -> None:
        columns = [column for values in found.values() for column in np.atleast_2d(values.T).tolist()]
        stream.writelines(delimiter.join(map(repr, row)) + "\n" for row in zip(*columns, strict=True))

    return write


def _npy(stream: Any, n_rows: int, mixture: Any, proba: bool, score: bool) -> Blocks:
    """Write the header of a .npy file, of labels alone or of records; return what writes rows."""
    fields: list[Any] = [("label", "<i8")]
    fields += [("proba", "<f8", (len(_columns(mixture)),))] * proba + [("log_density", "<f8")] * score
    dtype = np.dtype(fields if len(fields) > 1 else "<i8")
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (n_rows,)}
    np.lib.format.write_array_header_1_0(stream, header)

    def write(found: dict[str, NDArray[Any]]) -> None:
        records: NDArray[Any] = np.empty(len(found["label"]), dtype)
        if len(found) == 1:
            records[:] = found["label"]
        else:
            for name, values in found.items():
                records[name] = values
        stream.write(records.tobytes())

    return write
