"""Fashion-MNIST (Xiao et al., 2017): 60,000 training and 10,000 test images, 28x28 gray, 10 classes.

The first of these is used; a folder that is named explicitly must be valid, or an error is raised:

1. `DataConfig.path`, or the environment variable `SFTOK_FASHION_MNIST`: a folder with the four files;
2. `/usr/share/datasets/fashion-mnist`, where Debian's package `dataset-fashion-mnist` puts them;
3. the user's cache (`$XDG_CACHE_HOME/sftok/fashion-mnist`);
4. a download into the cache, from the authors' server;
5. Debian's package, downloaded by `apt-get` and unpacked into the cache (root is not needed).

The checksums are those of the uncompressed content, because Debian's files have other gzip headers than the
published ones. With the published headers restored, their MD5 sums match those listed by torchvision.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.client
import logging
import os
import subprocess
import tempfile
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import torch

from sftok.data.base import DataConfig, DataError, MemoryImageSet, Selection, Split
from sftok.data.cache import user_cache

logger = logging.getLogger(__name__)

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
IMAGE_SIZE = 28
ENVIRONMENT_VARIABLE = "SFTOK_FASHION_MNIST"
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SERVER = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
TIMEOUT_SECONDS = 10
"""How long a server may take to respond."""

CONTENT_SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
"""SHA-256 of the uncompressed content of each file."""


def read(config: DataConfig, split: Split, select: Selection) -> MemoryImageSet:
    """Read the images of a split into memory, from two files whose checksums are verified.

    Raises:
        DataError: the files cannot be found or downloaded, one is damaged, or `image_size` is not 28.
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
        names=tuple(f"{place:05d}" for place in chosen.tolist()),
    )


def locate(path: str | None = None) -> Path:
    """Return the folder with the four files, downloaded into the cache if necessary (see the module).

    Raises:
        DataError: a folder named explicitly lacks a file, or the files cannot be downloaded.
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
    else:
        folder = user_cache() / "fashion-mnist" if _missing(DEBIAN_FOLDER) else DEBIAN_FOLDER
        if _missing(folder):
            _fetch(folder)
    _log_once(folder)
    return folder


def _missing(folder: Path) -> list[str]:
    return [name for name in CONTENT_SHA256 if not (folder / name).is_file()]


@functools.cache
def _log_once(folder: Path) -> None:
    # Every split calls this.
    logger.info("Fashion-MNIST: from %s", folder)


def _fetch(cache: Path) -> None:
    """Fill `cache`. Each file appears complete and verified, even if other processes do the same."""
    failures = []
    for what, download in ((SERVER, _download), (f"Debian package {DEBIAN_PACKAGE}", _download_package)):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix=".incoming-") as temporary:
                folder = download(Path(temporary))
                for name in CONTENT_SHA256:
                    _verified_content(folder / name)
                for name in CONTENT_SHA256:
                    (folder / name).replace(cache / name)
            return
        except (DataError, OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
            failures.append(f"{what}: {' '.join(str(error).split())}")
            logger.warning("Fashion-MNIST: cannot download it from %s", failures[-1])
    raise DataError(
        f"fashion-mnist: not in {DEBIAN_FOLDER} or {cache}, and not downloadable ({'; '.join(failures)}); "
        f"install Debian's package {DEBIAN_PACKAGE}, or set {ENVIRONMENT_VARIABLE} to a folder with "
        f"{', '.join(CONTENT_SHA256)}"
    )


def _download(temporary: Path) -> Path:
    for name in CONTENT_SHA256:
        with urllib.request.urlopen(f"{SERVER}/{name}", timeout=TIMEOUT_SECONDS) as response:
            (temporary / name).write_bytes(response.read())
    return temporary


def _download_package(temporary: Path) -> Path:
    limits = "Acquire::Retries=0", *(f"Acquire::{p}::Timeout={TIMEOUT_SECONDS}" for p in ("http", "https"))
    _run("apt-get", *(f"-o{limit}" for limit in limits), "download", DEBIAN_PACKAGE, folder=temporary)
    (package,) = temporary.glob(f"{DEBIAN_PACKAGE}_*.deb")
    _run("dpkg-deb", "-x", str(package), "unpacked", folder=temporary)
    return temporary / "unpacked" / DEBIAN_FOLDER.relative_to("/")


def _run(*command: str, folder: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    if "Unable to locate package" in done.stderr:
        raise DataError("apt has no package lists, or they lack it; run 'apt-get update' as root")
    if done.returncode:
        raise DataError(f"{command[0]}: {done.stderr.strip() or f'exit code {done.returncode}'}")


def _verified_content(file: Path) -> bytes:
    """Return the uncompressed content of `file`.

    Raises:
        DataError: the file is missing, or its content differs from the published data set.
    """
    try:
        content = gzip.decompress(file.read_bytes())
        problem = "its checksum is not that of the published file"
        if hashlib.sha256(content).hexdigest() == CONTENT_SHA256[file.name]:
            return content
    except (OSError, EOFError, zlib.error) as error:
        problem = str(error)
    package = file.parent == DEBIAN_FOLDER
    remedy = f"reinstall Debian's package {DEBIAN_PACKAGE}" if package else "delete or replace it"
    raise DataError(f"fashion-mnist: {file} is damaged ({problem}); {remedy}")


def _read_idx(file: Path) -> torch.Tensor:
    """Read an IDX file: two zero bytes, type (8 = uint8), number of axes, their sizes, the data."""
    content = _verified_content(file)
    axes = content[3]
    shape = np.frombuffer(content, dtype=">u4", offset=4, count=axes)
    data = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes)
    return torch.from_numpy(data.reshape(tuple(map(int, shape))).copy())
