"""Shards for tests, as other tools write them."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from sftok.data import DataConfig

Members = list[tuple[str, bytes]]


def shards(root: Path, **changes) -> DataConfig:
    return DataConfig(path=str(root), **{"source": "shards", "image_size": 6, **changes})


def folder(root: Path, **changes) -> DataConfig:
    return shards(root, source="folder", **changes)


def encoded(seed: int, extension: str = "png") -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, {"jpg": "JPEG"}.get(extension, extension.upper()))
    return file.getvalue()


def samples(first: int, count: int, extension: str = "png") -> Members:
    members: Members = []
    for number in range(first, first + count):
        members += [(f"{number:04}.{extension}", encoded(number, extension))]
        members += [(f"{number:04}.cls", str(number % 3).encode())]
    return members


def dotted(count: int) -> Members:
    return [(name.replace(".", ".v2."), content) for name, content in samples(10, count)]


def write_tar(path: Path, members: Members) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    os.utime(path, (10**9, 10**9))
    return path


def flip_bit(path: Path, place: int) -> None:
    """As a disk does it: nobody wrote to the file."""
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    os.utime(path, ns=times)
