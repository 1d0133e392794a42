"""`python -m sftok.data.make_shards FOLDER OUT`: turn a folder of images into WebDataset shards.

A few large files replace a million small ones. The shards hold the images of the folder in its order, under
its names and with its splits, and have its fingerprint unless the images are resized. A shard is complete or
does not exist: the same command resumes an interrupted run at the first missing shard.

Exit codes: 0 done, 1 the shards cannot be written, 2 the input is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import logging
import os
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from PIL import Image
from pydantic import Field

from sftok.config import Config, ConfigError
from sftok.data.base import DataError, Split
from sftok.data.folder_layout import LAYOUTS, labelled_files, sample_key
from sftok.data.shard_index import LABEL, beside, write_index
from sftok.data.shard_layout import DESCRIPTION, ShardsDescription, SplitSize, description
from sftok.data.transforms import THREADS, UnreadableImageError, decode, resize_short_side
from sftok.io.unfinished import clear_unfinished, unfinished

logger = logging.getLogger(__name__)

SPLITS: dict[str, Split] = {"train": "train", "val": "test"}
"""The split of each word in the names of the shards."""
_CHUNK = 256
"""Number of images in memory at once."""


class ShardingConfig(Config):
    """How a folder is cut into shards."""

    images_per_shard: int = Field(default=10_000, ge=1)
    size: int | None = Field(default=None, ge=1)
    """Resize the short side to this many pixels, and store the result without loss (PNG); None stores the
    files as they are."""


@dataclass(frozen=True)
class _Sample:
    file: Path
    key: str
    label: int


def write_shards(
    root: Path,
    out: Path,
    config: ShardingConfig,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> ShardsDescription:
    """Write the images of the folder `root` (laid out as `folder_layout` says) to shards in `out`.

    An image that cannot be decoded is copied unchanged; the reader of the shards decides how to handle it.
    Only one run may write to `out` at a time.

    Args:
        root: the folder of images.
        out: the folder for the shards, new or from an interrupted run.
        config: how to cut the folder.
        on_progress: called with the number of images written and their total, after each shard.

    Raises:
        DataError: the folder cannot be used, `out` holds other files, or a file cannot be read.
        OSError: `out` cannot be written.
    """
    splits, wanted = _plan(root, config)
    _prepare(out, wanted)
    total, done = sum(map(len, splits.values())), 0
    for word, samples in splits.items():
        for number, start in enumerate(range(0, len(samples), config.images_per_shard)):
            part = samples[start : start + config.images_per_shard]
            shard = out / f"{word}-{number:06}.tar"
            if not shard.exists():
                _write(shard, part, config.size)
            if not beside(shard).exists():
                for place, problem in write_index(shard).problems.items():
                    logger.warning("%s was copied, but cannot be decoded (%s)", part[place].file, problem)
            done += len(part)
            on_progress(done, total)
    return wanted


def _plan(root: Path, config: ShardingConfig) -> tuple[dict[str, list[_Sample]], ShardsDescription]:
    splits: dict[str, list[_Sample]] = {}
    source = hashlib.sha256()
    for word, split in SPLITS.items():
        listing = labelled_files(root, split)
        first: dict[str, str] = {}
        samples = splits[word] = []
        for file, label in zip(listing.files, listing.labels, strict=True):
            key = sample_key(file)
            if key in first:
                raise DataError(
                    f"folder: {root / first[key]} and {root / file} would have the same key in a shard; "
                    "rename one"
                )
            first[key] = file
            samples.append(_Sample(root / file, key, label))
            try:
                size = (root / file).stat().st_size
            except OSError as error:
                raise _unreadable(root / file, error) from None
            source.update(json.dumps([word, file, label, size]).encode())
    return splits, ShardsDescription(
        class_names=listing.class_names,
        splits={
            word: SplitSize(images=len(samples), shards=-(-len(samples) // config.images_per_shard))
            for word, samples in splits.items()
        },
        images_per_shard=config.images_per_shard,
        size=config.size,
        source=source.hexdigest(),
    )


def _unreadable(file: Path, error: OSError) -> DataError:
    return DataError(f"folder: {file} cannot be read ({error.strerror}); repair it or move it elsewhere")


def _prepare(out: Path, wanted: ShardsDescription) -> None:
    """Create `out` and its description, or check that these shards were started there."""
    out.mkdir(parents=True, exist_ok=True)
    known = description(out)
    if known is None and any(not path.name.startswith(".") for path in out.iterdir()):
        raise DataError(f"shards: {out} is not empty, and has no {DESCRIPTION}; choose an empty folder")
    if known is not None and known != wanted:
        raise DataError(
            f"shards: {out} holds shards of other images, or cut or resized in another way; "
            "choose an empty folder"
        )
    clear_unfinished(out)
    if known is None:
        text = json.dumps(wanted.model_dump(mode="json"), indent=1, ensure_ascii=False)
        _replace(out / DESCRIPTION, lambda file: file.write(text.encode()))


def _write(shard: Path, samples: Sequence[_Sample], size: int | None) -> None:
    def fill(file: io.BufferedWriter) -> None:
        # Shards contain no time stamps or owners, so the same images give the same bytes.
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for sample, (extension, content) in zip(samples, _contents(samples, size), strict=True):
                _add(tar, f"{sample.key}.{extension}", content)
                _add(tar, f"{sample.key}.{LABEL}", str(sample.label).encode())

    _replace(shard, fill)


def _contents(samples: Sequence[_Sample], size: int | None) -> Iterator[tuple[str, bytes]]:
    with ThreadPoolExecutor(THREADS, "sftok-shards") as pool:
        chunks = (samples[start : start + _CHUNK] for start in range(0, len(samples), _CHUNK))
        yield from chain.from_iterable(
            pool.map(lambda sample: _content(sample.file, size), chunk) for chunk in chunks
        )


def _content(file: Path, size: int | None) -> tuple[str, bytes]:
    """Return the extension and bytes of an image as stored in a shard."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from None
    extension = file.suffix[1:].lower()
    extension = "jpg" if extension in ("jfif", "jpe", "jpeg") else extension
    try:
        image = None if size is None else decode(content)
    except UnreadableImageError:
        image = None
    if size is None or image is None or _too_long(image, size):
        return extension, content
    encoded = io.BytesIO()
    resize_short_side(image, size).save(encoded, "PNG")
    return "png", encoded.getvalue()


def _too_long(image: Image.Image, size: int) -> bool:
    """Whether the resized image would be rejected as too large: a strip 2 pixels wide gets very long."""
    scale = size / min(image.size)
    limit = Image.MAX_IMAGE_PIXELS
    return limit is not None and scale**2 * image.width * image.height > limit


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _replace(path: Path, fill: Callable[[io.BufferedWriter], object]) -> None:
    """Let `fill` write a file that appears at `path` only once it is complete and on disk."""
    temporary = unfinished(path)
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m sftok.data.make_shards", description=__doc__)
    parser.add_argument("folder", type=Path, help=f"folder of images laid out as {LAYOUTS}")
    parser.add_argument("out", type=Path, help="folder for the shards: new, or from an interrupted run")
    count = ShardingConfig().images_per_shard
    parser.add_argument(
        "--images-per-shard",
        type=int,
        default=count,
        metavar="N",
        help="images per shard (default: %(default)s)",
    )
    size = "resize the short side to PIXELS and store without loss; by default, files are stored as they are"
    parser.add_argument("--size", type=int, metavar="PIXELS", help=size)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        config = ShardingConfig.build({"images_per_shard": options.images_per_shard, "size": options.size})
        if not options.folder.is_dir():
            raise DataError(f"folder: {options.folder} is not a folder; it must be laid out as {LAYOUTS}")
        write_shards(options.folder, options.out, config, _print_progress)
    except (ConfigError, DataError, OSError) as error:
        print(f"make_shards: {' '.join(str(error).split())}", file=sys.stderr)
        return 1 if isinstance(error, OSError) else 2
    except KeyboardInterrupt:
        return 130
    return 0


def _print_progress(done: int, total: int) -> None:
    print(f"{done:,} of {total:,} images", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
