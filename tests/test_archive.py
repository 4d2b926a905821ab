"""The file format of saved mixtures, and the refusal of damaged and hostile files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import re
import tracemalloc
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import PARAMETERS, assert_identical, mixture_of_three

import fastgmm
from fastgmm import GaussianMixture, ModelFileError

# The format, written by hand ----------------------------------------------------------------------------------------


RECORD = (0.5, 0.25, 3, -2.0, -1.0, True, False)  # of a fit, without levels


def forged(header: dict[str, Any], arrays: dict[str, Any], method: int = zipfile.ZIP_STORED, **raw: bytes) -> bytes:
    """A file with a checksum that fits: what fastgmm would write if it were out to do harm."""
    kinds = {n: {"dtype": a.dtype.str, "shape": list(a.shape)} for n, a in arrays.items() if isinstance(a, np.ndarray)}
    content = {"format": "fastgmm model", "format_version": 1, "library_version": "0", "arrays": kinds} | header
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes() if isinstance(arrays[name], np.ndarray) else b"")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("header.json", json.dumps(content | {"sha256": digest.hexdigest()}))
        for name, values in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(values), allow_pickle=True)
            archive.writestr(f"{name}.npy", raw.get(name, member.getvalue()))
    return stream.getvalue()


def header_and_arrays(model: GaussianMixture | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and arrays of a sound file."""
    model = model or GaussianMixture.from_parameters([0.25, 0.75], [[0.0, 1.0], [2.0, 3.0]], np.stack([np.eye(2)] * 2))
    header = {
        "model": "GaussianMixture",
        "params": {"n_components": 2, "covariance_type": model.covariance_type},
        "fitted": {"n_features_in_": 2},
        "feature_names": ["a", "b"],
    }
    return header, {name: getattr(model, name) for name in PARAMETERS}


def test_file_format(tmp_path: Path) -> None:
    """The format is what it was: a file put together by hand is read, and NumPy reads what is written."""
    path = tmp_path / "model"
    header, arrays = header_and_arrays()
    path.write_bytes(forged(header, arrays))
    loaded = fastgmm.load(path)
    for name in PARAMETERS:
        np.testing.assert_array_equal(getattr(loaded, name), arrays[name])
    assert list(loaded.feature_names_in_) == ["a", "b"]
    loaded.save(path)
    assert_identical(loaded, fastgmm.load(path))
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["means_"], arrays["means_"])
        written = json.loads(archive["header.json"])
    assert (written["format"], written["format_version"]) == ("fastgmm model", 1)
    assert written["library_version"] == fastgmm.__version__
    del written["params"], written["sha256"]
    assert written["arrays"]["covariances_"] == {"dtype": "<f8", "shape": [2, 2, 2]}


def test_records_of_earlier_versions(tmp_path: Path) -> None:
    """Records of fits had no kinds of starts, no soundness and no levels once."""
    whole = "kmeans", True, ((8192, 20), (65536, 3))
    for n, expected in ((0, ("", None, ())), (2, ("kmeans", True, ())), (3, whole)):
        header, arrays = header_and_arrays()
        header["fitted"]["fits_"] = [[*RECORD, *whole[:n]]]
        (tmp_path / "model").write_bytes(forged(header, arrays))
        (record,) = fastgmm.load(tmp_path / "model").fits_
        assert record == (*RECORD, *expected)


# Damage and malice --------------------------------------------------------------------------------------------------


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def damaged(rng: np.random.Generator, sound: bytes) -> Iterator[bytes]:
    """What disks, networks and editors do to files."""
    for _ in range(180):  # flipped bits
        data = bytearray(sound)
        for position in rng.integers(len(sound), size=rng.integers(1, 4)):
            data[position] ^= 1 << int(rng.integers(8))
        yield bytes(data)
    for length in rng.integers(len(sound), size=60):
        yield sound[:length]
    for start, length in rng.integers((len(sound), 200), size=(60, 2)):
        yield sound[:start] + sound[start + length :]  # lost
        yield sound[:start] + bytes(length) + sound[start + length :]  # blank
        yield sound[:start] + rng.bytes(length) + sound[start:]  # inserted
    yield from (b"", sound.replace(b"\n", b"\r\n"), sound * 2, sound[::-1], sound[-22:], bytes(1000))


def wrong_arrays(marker: str) -> Iterator[dict[str, Any]]:
    """Arrays that no mixture has, pickled ones among them."""
    _, arrays = header_and_arrays()
    ones = np.ones((2, 2))
    for name, values in arrays.items():
        yield {name: np.array([Payload(marker)], dtype=object)}
        for kind in ("<f2", ">f8", "<c16", "<i8", "S8", "<U4"):
            yield {name: values.astype(kind)}
        for wrong in (np.zeros(0), np.float64(1), ones * np.nan, values[..., None], np.full_like(values, np.inf)):
            yield {name: wrong}
        if name != "means_":
            yield from ({name: -values}, {name: 2 * values}, {name: 0 * values})
    yield from (
        {"weights_": np.array([0.5, 0.6])},
        {"weights_": np.array([1.5, -0.5])},
        {"means_": np.zeros((2, 3))},
        {"means_": np.zeros((2, 0)), "covariances_": np.zeros((2, 0, 0))},
        {"precisions_cholesky_": np.full((2, 2, 2), 1e-200)},
        {"precisions_cholesky_": np.stack([ones, ones])},
        {"lower_bounds_": ones},
        {"lower_bounds_": np.array([np.nan])},
        {"fit": ones},
        {"__class__": ones},
    )


def wrong_headers() -> Iterator[dict[str, Any]]:
    """Headers that no mixture has."""
    header, arrays = header_and_arrays()
    for key in header:
        for value in (None, 0, "", [], {}, [[]], {"a": {"b": 1}}):
            if (key, value) not in [("params", {}), ("fitted", {}), ("feature_names", None)]:  # these are sound
                yield {key: value}
    yield from ({"format": "savez"}, {"format_version": 2}, {"format_version": [1]}, {"format_version": None})
    yield from ({"arrays": []}, {"arrays": {"../means_": {}}}, {"feature_names": ["a"]}, {"feature_names": ["a", 1]})
    for params in ({"covariance_type": "os.system"}, {"__class__": 1}, {"callback": "print"}, {"n_init": -1}):
        yield {"params": params}
    for name, value in (
        ("fit", 1),
        ("__dict__", {}),
        ("n_iter_", "3"),
        ("stop_reason_", "luck"),
        ("lower_bound_", "1e9"),
        ("n_features_in_", 3),
        ("degenerate_", [[1, 2]]),
        ("fits_", [[1, 2, 3, 4, 5, 6, 7]]),
        *(("fits_", [[*RECORD, levels]]) for levels in (5, [[1]], [["a", 1]], [[1, 2.0]], None)),
        ("fits_", [[*RECORD, [], 0]]),
    ):
        yield {"fitted": {name: value}}
    shapes: list[Any] = [[2**62, 2**62], [-2, -2], [10**30], [2.0, 2.0], ["2"], [True, 2], {}, None, [0] * 70, [[2]]]
    table = {name: {"dtype": values.dtype.str, "shape": list(values.shape)} for name, values in arrays.items()}
    for shape in shapes:
        for name in ("means_", "covariances_"):
            yield {"arrays": table | {name: {"dtype": "<f8", "shape": shape}}}


def hostile(marker: str) -> Iterator[bytes]:
    """Files whose checksums fit."""
    header, arrays = header_and_arrays()
    for wrong in wrong_arrays(marker):
        yield forged(header, arrays | wrong)
    for wrong in wrong_headers():
        yield forged(header | wrong, arrays)
    for name in ("weights_", "means_", "precisions_cholesky_"):
        yield forged(header, {key: value for key, value in arrays.items() if key != name})
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        yield forged(header, arrays, method)
        yield forged(header, arrays | {"means_": np.zeros((1 << 20, 2))}, method)  # a bomb
    member = io.BytesIO()
    np.save(member, arrays["means_"])
    npy = member.getvalue()
    for shape in (b"(9**99,)", b"(-2, 2)", b"(2, 3)", b"[2, 2]", b"print()", b"(2, 2, 2)", b""):
        yield forged(header, arrays, means_=npy.replace(b"(2, 2)", shape))
    for start in (b"\x93NUMPY\x02\x00", b"\x93NUMPY\x01\x00\xff\xff", b"\x80\x04"):
        yield forged(header, arrays, means_=start + npy[len(start) :])
    described = npy.replace(b"'<f8'", b"'|O' ").replace(b"(2, 2)", b"(1,)  ")[:128]
    yield forged(header, arrays, means_=described + pickle.dumps(np.array([Payload(marker)])))
    yield forged(header, arrays, means_=npy.replace(b"{", b"[" * 60))
    sound = forged(header, arrays)
    for entry in re.finditer(b"PK\x01\x02", sound):  # what the list of contents claims: sizes, methods, flags, places
        for field, claim in (
            (20, b"\xfe" * 4),
            (24, b"\xfe" * 4),
            (20, b"\xfe" * 8),
            (10, b"\x08"),
            (8, b"\x01"),
            (42, b"\xff"),
        ):
            place = entry.start() + field
            yield sound[:place] + claim + sound[place + len(claim) :]
    for text in (b"[" * 100_000, b'{"a":' * 5000, b"9" * 10_000, b"\xff\xfe", b"NaN", b"null", b'"' + b"x" * (1 << 25)):
        yield archived({"header.json": text})
    yield archived({"means_.npy": npy}, sound)  # for the second time
    yield from (archived({"weights_.npy": npy}), npy, pickle.dumps(Payload(marker)), b"id,x\n1,2\n")
    yield b"PK\x05\x06" + bytes(18)


def archived(members: dict[str, bytes], before: bytes = b"") -> bytes:
    """A zip file of these members, behind those of another."""
    stream = io.BytesIO(before)
    with zipfile.ZipFile(stream, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def is_clear(error: object, path: Path) -> bool:
    """Whether this is the one class of error, names the file and ends with the remedy."""
    remedy = r"(ave the model again|GaussianMixture\.save|pgrade fastgmm|saved to)\.$"
    return isinstance(error, ModelFileError) and str(path) in str(error) and bool(re.search(remedy, str(error)))


def load_bytes(path: Path, data: bytes) -> GaussianMixture | ModelFileError:
    """Load these bytes, in memory that is bounded by their number."""
    path.write_bytes(data)
    tracemalloc.start()
    try:
        return fastgmm.load(path)
    except ModelFileError as error:
        return error
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40 * len(data) + (1 << 20), (peak, data[:100])


def test_damaged_and_hostile_files(tmp_path: Path) -> None:
    """500 mutated files and more: refused with the one clear error, or read with every bit of the original."""
    path, marker = tmp_path / "model", tmp_path / "executed"
    model = mixture_of_three(n_init=2)
    model.feature_names_in_ = np.array(list("abcd"), dtype=object)
    model.save(path)
    refused = read = 0
    for data in damaged(np.random.default_rng(0), path.read_bytes()):
        found = load_bytes(path, data)
        if isinstance(found, GaussianMixture):
            assert_identical(model, found)
            read += 1
        else:
            assert is_clear(found, path), found
            refused += 1
    assert refused > 350 and 0 < read < 60
    attacks = list(hostile(str(marker)))
    for data in attacks:
        found = load_bytes(path, data)
        assert is_clear(found, path), (found, data[:3000])
    assert refused + read + len(attacks) >= 500
    assert not marker.exists()


def test_checksum(tmp_path: Path) -> None:
    """A header or array that was edited fails its checksum, though the zip file is sound."""
    header, arrays = header_and_arrays()
    sound = forged(header, arrays)
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert not isinstance(load_bytes(tmp_path / "model", archived(members)), ModelFileError)
    moved = members["means_.npy"].replace(np.float64(3).tobytes(), np.float64(4).tobytes())
    renamed = members["header.json"].replace(b'"n_components": 2', b'"n_components": 3')
    for wrong in ({"means_.npy": moved}, {"header.json": renamed}):
        assert wrong.items() - members.items()
        found = load_bytes(tmp_path / "model", archived(members | wrong))
        assert is_clear(found, tmp_path / "model") and "its checksum does not fit" in str(found)


def test_large_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON takes many times its size in memory: what is larger than any header written is not parsed."""
    monkeypatch.setattr("fastgmm.model.archive.LARGEST_HEADER", 100)
    found = load_bytes(tmp_path / "model", forged(*header_and_arrays()))
    assert is_clear(found, tmp_path / "model") and "its header takes" in str(found)


def test_missing_files_folders_and_pipes(tmp_path: Path) -> None:
    """A missing file is an OSError, a folder or pipe is refused without waiting for it."""
    with pytest.raises(FileNotFoundError):
        fastgmm.load(tmp_path / "missing")
    with pytest.raises(ModelFileError, match="is not a file"):
        fastgmm.load(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ModelFileError, match="is not a file"):
            fastgmm.load(tmp_path / "pipe")


def test_later_format_version(tmp_path: Path) -> None:
    """A later format version is refused with the advice to upgrade."""
    header, arrays = header_and_arrays()
    (tmp_path / "model").write_bytes(forged(header | {"format_version": 2, "library_version": "9.9"}, arrays))
    with pytest.raises(ModelFileError, match=r"format version 2, .* fastgmm 9\.9 wrote it\. Upgrade fastgmm\."):
        fastgmm.load(tmp_path / "model")
