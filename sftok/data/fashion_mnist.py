"""Fashion-MNIST (Xiao et al., 2017): 60,000 training and 10,000 test images, 28x28 grey, 10 classes.

Looked for in this order; what is named explicitly must be right, nothing else is tried then:

1. `DataConfig.path`, else the environment variable `SFTOK_FASHION_MNIST`: a folder with the four files;
2. `/usr/share/datasets/fashion-mnist`, where Debian's package `dataset-fashion-mnist` puts them;
3. the user's cache (`$XDG_CACHE_HOME/sftok/fashion-mnist`);
4. a download through torchvision, into the cache;
5. Debian's package, fetched with `apt-get download` and unpacked into the cache (no root needed).

The checksums are of the uncompressed content: in Debian's package the same content has another gzip header
(no name, another time), so torchvision's published MD5 sums of the .gz files do not fit it. With the original
header put back (31 August 2017) all four do, which is how the sums below were found to be right.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import logging
import os
import shutil
import socket
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from sftok.data.base import DataConfig, DataError, MemoryImageSet, Selection, Split
from sftok.data.cache import user_cache

logger = logging.getLogger(__name__)

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
IMAGE_SIZE = 28
ENVIRONMENT_VARIABLE = "SFTOK_FASHION_MNIST"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
TIMEOUT_SECONDS = 10.0
"""How long a server may stay silent."""

CONTENT_SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""SHA-256 of each file's uncompressed content."""


def read(config: DataConfig, split: Split, select: Selection) -> MemoryImageSet:
    """The images of a split, in memory; the two files they come from are verified.

    Raises:
        DataError: the files are nowhere to be had, one is broken, or `image_size` is not 28.
    """
    if config.image_size != IMAGE_SIZE:
        raise DataError(
            f"fashion-mnist: data.image_size = {config.image_size}, but its images are 28x28; "
            "set data.image_size = 28"
        )
    folder = locate(config.path)
    prefix = "t10k" if split == "test" else "train"
    pixels = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz").long()
    chosen = select(labels)
    return MemoryImageSet(
        name=f"fashion-mnist/{split}",
        class_names=CLASS_NAMES,
        pixels=pixels[chosen].unsqueeze(1),
        targets=labels[chosen],
    )


def locate(path: str | None = None) -> Path:
    """The folder that holds the four files, fetched into the cache if need be (see the module).

    Raises:
        DataError: a named folder lacks a file, or all ways to get them failed.
    """
    named = path or os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        folder = Path(named).expanduser()
        if missing := _missing(folder):
            origin = "the configured path" if path else ENVIRONMENT_VARIABLE
            raise DataError(
                f"fashion-mnist: no {missing[0]} in {folder} ({origin}); "
                f"it must hold {', '.join(CONTENT_SHA256)}, or be left unset"
            )
        return _found(folder, "named explicitly")
    if not _missing(DEBIAN_FOLDER):
        return _found(DEBIAN_FOLDER, f"Debian package {DEBIAN_PACKAGE}")
    cache = user_cache() / "fashion-mnist"
    if not _missing(cache):
        return _found(cache, "the user's cache")
    return _found(cache, _fetch(cache))


def _missing(folder: Path) -> list[str]:
    return [name for name in CONTENT_SHA256 if not (folder / name).is_file()]


def _found(folder: Path, how: str) -> Path:
    _say(folder, how)
    return folder


@functools.cache
def _say(folder: Path, how: str) -> None:
    """Once a process, though every split looks for its files."""
    logger.info("Fashion-MNIST: %s (%s)", folder, how)


def _fetch(cache: Path) -> str:
    """Fill `cache`; returns how. Each file appears complete and verified, also beside other processes."""
    failures = []
    for how, download in (("download", _download), (f"Debian package {DEBIAN_PACKAGE}", _unpack_debian)):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix=".incoming-") as temporary:
                folder = download(Path(temporary))
                for name in CONTENT_SHA256:
                    _verified_content(folder / name)
                for name in CONTENT_SHA256:
                    (folder / name).replace(cache / name)
            return f"fetched now: {how}"
        except (DataError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            reason = " ".join(str(error).split())
            failures.append(f"{how} failed: {reason}")
            logger.warning("Fashion-MNIST: %s", failures[-1])
    raise DataError(
        f"fashion-mnist: not in {DEBIAN_FOLDER} nor {cache}, and cannot be fetched ({'; '.join(failures)}); "
        f"install Debian's package {DEBIAN_PACKAGE}, or set {ENVIRONMENT_VARIABLE} to a folder with "
        f"{', '.join(CONTENT_SHA256)}"
    )


def _download(temporary: Path) -> Path:
    from torchvision.datasets import FashionMNIST  # slow to import, and seldom needed

    with _socket_timeout(TIMEOUT_SECONDS):
        FashionMNIST(temporary, download=True)
    return temporary / "FashionMNIST" / "raw"


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # torchvision's download takes no time-out, and without one a dropped packet hangs it for good.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _unpack_debian(temporary: Path) -> Path:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise DataError("apt-get and dpkg-deb are not on this machine")
    limits = ["-o", "Acquire::Retries=0"]
    for protocol in ("http", "https"):
        limits += ["-o", f"Acquire::{protocol}::Timeout={TIMEOUT_SECONDS:.0f}"]
    _run(["apt-get", *limits, "download", DEBIAN_PACKAGE], temporary)
    archive = next(temporary.glob(f"{DEBIAN_PACKAGE}_*.deb"))
    _run(["dpkg-deb", "-x", str(archive), "unpacked"], temporary)
    return temporary / "unpacked" / DEBIAN_FOLDER.relative_to("/")


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        if "Unable to locate package" in done.stderr:
            raise DataError("apt's package lists are missing or lack it; run 'apt-get update' as root")
        problems = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg-deb: error"))]
        raise DataError(f"{command[0]}: {'; '.join(problems) or f'exit code {done.returncode}'}")


def _verified_content(file: Path) -> bytes:
    """The uncompressed content of `file`.

    Raises:
        DataError: the file is missing, or its content is not that of the published data set.
    """
    try:
        content = gzip.decompress(file.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(_broken(file, str(error))) from None
    if hashlib.sha256(content).hexdigest() != CONTENT_SHA256[file.name]:
        raise DataError(_broken(file, "its checksum is not that of the published file"))
    return content


def _broken(file: Path, reason: str) -> str:
    remedy = (
        f"reinstall Debian's package {DEBIAN_PACKAGE}"
        if file.parent == DEBIAN_FOLDER
        else "delete or replace it"
    )
    return f"fashion-mnist: {file} is broken ({reason}); {remedy}"


def _read_idx(file: Path) -> torch.Tensor:
    """The array in an IDX file: two zero bytes, type (8 = uint8), number of axes, their sizes, the data."""
    content = _verified_content(file)
    axes = content[3]
    shape = np.frombuffer(content, dtype=">u4", offset=4, count=axes)
    data = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes)
    return torch.from_numpy(data.reshape(tuple(map(int, shape))).copy())
