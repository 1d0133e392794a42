"""Arrays of ADM's `.npz` files (Dhariwal and Nichol 2021, `guided-diffusion/evaluations`); never unpickled.

A sample batch has `arr_0`, uint8 images `[N, H, W, 3]`, and may have `arr_1`, their labels. A reference batch
also has the statistics `mu` and `sigma` of Inception's features. Arrays that are stored without compression,
as by `numpy.savez`, are memory-mapped, so memory does not grow with the number of images.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from sftok.data.base import DataError

IMAGES, LABELS = "arr_0", "arr_1"


def array_names(path: Path) -> list[str]:
    """Return the names of the arrays in a `.npz` file.

    Raises:
        DataError: the file is not a `.npz` file.
    """
    with _archive(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_array(path: Path, name: str) -> np.ndarray:
    """Return the array `name` of a `.npz` file, read-only and memory-mapped if it is not compressed.

    Raises:
        DataError: the file or the array is missing, damaged, or holds Python objects.
    """
    with _archive(path) as archive:
        try:
            member = archive.getinfo(f"{name}.npy")
        except KeyError:
            found = ", ".join(each.removesuffix(".npy") for each in archive.namelist())
            raise DataError(f"{path}: has no array {name}, only {found or 'none'}") from None
        try:
            with archive.open(member) as file:
                shape, fortran, dtype = _header(file)
                if dtype.hasobject:
                    raise ValueError("it holds Python objects, which are never unpickled")
                if member.compress_type != zipfile.ZIP_STORED or 0 in shape:
                    order: Any = "F" if fortran else "C"
                    # Copied to a `bytearray`, so that the array owns memory that torch accepts.
                    return np.frombuffer(bytearray(file.read()), dtype).reshape(shape, order=order)
                start = _start(path, member) + file.tell()
            return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")
        except Exception as error:  # a damaged file can make the reader raise almost anything
            raise DataError(f"{path}: the array {name} cannot be read ({error})") from None


def write_array(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: np.dtype, parts: Iterable[np.ndarray]
) -> None:
    """Add an array to an open `.npz` file, part by part along its first axis, without compression."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype).data)


def images_of(path: Path) -> np.ndarray:
    """Return the images `arr_0` of a `.npz` file, uint8 `[N, H, W, 3]`.

    Raises:
        DataError: the file has none, or they have another layout; the message says how to convert them.
    """
    array = read_array(path, IMAGES)
    what = f"{path}: {IMAGES} is {array.dtype} {list(array.shape)}"
    if array.ndim == 4 and array.shape[1] == 3 and array.shape[3] != 3:
        raise DataError(f"{what}, channels first; save it as uint8 [N, H, W, 3]: transpose(0, 2, 3, 1)")
    if array.ndim != 4 or array.shape[3] != 3 or array.shape[1] != array.shape[2]:
        raise DataError(f"{what}; it must be square images, uint8 [N, H, W, 3]")
    if array.dtype != np.uint8:
        raise DataError(f"{what}; it must be uint8 from 0 to 255: convert it with your own rounding first")
    if len(array) < 2:
        raise DataError(f"{what}; at least two images are needed")
    return array


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a .npz file ({error})") from None


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"unknown version {version} of the .npy format")
    return readers[version](file)


def _start(path: Path, member: zipfile.ZipInfo) -> int:
    """Return the offset in the file of an uncompressed member's content."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(30)
    return (
        member.header_offset
        + 30
        + int.from_bytes(header[26:28], "little")
        + int.from_bytes(header[28:30], "little")
    )
