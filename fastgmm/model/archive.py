"""The format of files: a JSON header and named arrays of floats, with a checksum over all of it.

It is an uncompressed zip file such as ``numpy.savez`` writes: ``unzip -p FILE header.json`` shows the header, and
``numpy.load`` reads the arrays. Reading trusts nothing: no size is believed before it is found in the file, the only
types are two of floats, and nothing is ever unpickled, evaluated or inflated.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import ModelFileError
from ..kernels.cpu import VERSION
from ..text import quoted, shortened

__all__ = ["read", "write"]

FORMAT, FORMAT_VERSION = "fastgmm model", 1
HEADER = "header.json"
LARGEST_HEADER = 1 << 24  # bytes

DTYPES = ("<f4", "<f8")

Path = str | os.PathLike[str]
Arrays = dict[str, NDArray[Any]]


def write(path: Path, header: dict[str, Any], arrays: Arrays) -> None:
    """Write a header, which JSON can express, and arrays of floats; the file is there as a whole or not at all."""
    arrays = {name: _little_endian(array) for name, array in arrays.items()}
    content: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "library_version": VERSION,
        **header,
        "arrays": {name: {"dtype": array.dtype.str, "shape": list(array.shape)} for name, array in arrays.items()},
    }
    content["sha256"] = _checksum(content, arrays)
    text = json.dumps(content, indent=1, allow_nan=False).encode()
    if len(text) > LARGEST_HEADER:
        raise ValueError(
            f"The model cannot be saved: what is no array takes {len(text)} bytes of at most {LARGEST_HEADER}. Shorten "
            "the names of its features, or delete fits_ and degenerate_."
        )
    with _replacing(path) as stream, zipfile.ZipFile(stream, "w") as archive:  # dated 1980: same model, same bytes
        archive.writestr(zipfile.ZipInfo(HEADER), text)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)


def read(path: Path) -> tuple[dict[str, Any], Arrays]:
    """Return the header and the arrays of a file.

    Raises
    ------
    ModelFileError
        If it is anything but what `write` has written.
    OSError
        If it cannot be opened.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ModelFileError(f"{_named(path)} is not a file: give the path that a model was saved to.")
    with open(path, "rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise ModelFileError(
                f"{_named(path)} is not a model saved by fastgmm, or is cut off: it starts with "
                f"{_start(stream)!r} and holds "
                "no list of its contents. Give a file written by GaussianMixture.save, or save the model again."
            )
        try:
            with zipfile.ZipFile(stream) as archive:
                return _read(archive, os.fstat(stream.fileno()).st_size)
        except _Refused as refusal:
            raise ModelFileError(f"{_named(path)} {refusal}") from None
        except Exception as error:  # a dozen types, from what zipfile and json find in damaged files
            found = f"{type(error).__name__}: {shortened(error)}"
            raise ModelFileError(
                f"{_named(path)} is damaged ({found}): copy it again, or save the model again."
            ) from error


class _Refused(Exception):
    """A defect of a file and its remedy: the rest of a sentence that begins with the path."""


_DAMAGED = "Copy it again, or save the model again."


def _read(archive: zipfile.ZipFile, size: int) -> tuple[dict[str, Any], Arrays]:
    """Return the header and the arrays of a file of this size."""
    members = {member.filename: member for member in archive.infolist()}
    if HEADER not in members:
        raise _Refused(
            f"is not a model saved by fastgmm: it holds {quoted(sorted(members))}, but no {HEADER}. Give a file "
            "written by "
            "Statistics.save or GaussianMixture.save."
        )
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise _Refused(
                f"is damaged: {quoted(member.filename, 40)} is compressed, which fastgmm never does. {_DAMAGED}"
            )
    if len(members) < len(archive.infolist()) or sum(member.file_size for member in members.values()) > size:
        raise _Refused(f"is damaged: its parts take more room than its {size} bytes. {_DAMAGED}")
    content = _header(archive, members[HEADER])
    table = content["arrays"]
    if {HEADER, *(f"{name}.npy" for name in table)} != set(members):
        raise _Refused(
            f"is damaged: it holds {quoted(sorted(members))}, but its header names {quoted(sorted(table))}. {_DAMAGED}"
        )
    arrays = {name: _array(archive, members[f"{name}.npy"], **kind) for name, kind in table.items()}
    if content.pop("sha256", None) != _checksum(content, arrays):
        raise _Refused(f"is damaged: its checksum does not fit its contents. {_DAMAGED}")
    return content, {name: array.astype(array.dtype.newbyteorder("="), copy=False) for name, array in arrays.items()}


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> dict[str, Any]:
    """Return the header of a file, of a format that is known."""
    if member.file_size > LARGEST_HEADER:
        raise _Refused(f"is damaged: its header takes {member.file_size} bytes. {_DAMAGED}")
    content = json.loads(archive.read(member).decode())
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _Refused(
            "is not a model saved by fastgmm: its header names none. Give a file written by GaussianMixture.save."
        )
    if content.get("format_version") != FORMAT_VERSION:
        raise _Refused(
            f"has the format version {quoted(content.get('format_version'))}, but fastgmm {VERSION} reads version "
            f"{FORMAT_VERSION}; fastgmm {shortened(content.get('library_version'))} wrote it. Upgrade fastgmm."
        )
    return content


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, dtype: str, shape: list[int]) -> NDArray[Any]:
    """Return an array of the type and shape that the header of the file tells."""
    if dtype not in DTYPES or any(type(length) is not int or length < 0 for length in shape):
        raise _Refused(
            f"is damaged: {quoted(member.filename, 40)} would be {quoted(dtype)} of shape {quoted(shape)}. {_DAMAGED}"
        )
    start = BytesIO()
    np.lib.format.write_array_header_1_0(start, {"descr": dtype, "fortran_order": False, "shape": tuple(shape)})
    magic, described = start.getvalue()[:8], start.getvalue()[10:].strip()
    with archive.open(member) as stream:
        found = stream.read(8), stream.read(int.from_bytes(stream.read(2), "little")).strip()  # padded as NumPy likes
        if found != (magic, described):
            raise _Refused(
                f"is damaged: {quoted(member.filename, 40)} starts with {quoted(found[1])}, not "
                f"{quoted(described)}. {_DAMAGED}"
            )
        data = bytearray(stream.read())  # an array of it can be written to
    if len(data) != math.prod(shape) * np.dtype(dtype).itemsize:
        raise _Refused(
            f"is damaged: {quoted(member.filename, 40)} holds {len(data)} bytes for the shape {quoted(shape)}. "
            f"{_DAMAGED}"
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _checksum(content: dict[str, Any], arrays: Arrays) -> str:
    """Return the SHA-256 of what a file says, however it says it."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(arrays[name].data if arrays[name].size else b"")
    return digest.hexdigest()


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array as it is written."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def _named(path: Any) -> str:
    """Return a path as it is named in messages."""
    return shortened(path, 150)


def _start(stream: IO[bytes]) -> bytes:
    """Return the first bytes of a file."""
    stream.seek(0)
    return stream.read(8)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yield a new file that takes the place of ``path`` once it is complete and on the disk."""
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        raise ValueError(f"{_named(path)} exists and is not a file: choose another path for the model.")
    temporary = os.path.join(os.path.dirname(target), f".{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if os.path.exists(target):
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.remove(temporary)
        raise
