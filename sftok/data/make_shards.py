"""`python -m sftok.data.make_shards FOLDER OUT`: WebDataset shards out of a folder of images.

Exit codes: 0 done, 1 it could not be written, 2 the input is wrong, 130 interrupted (the same command goes
on from there).
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

from sftok.config import ConfigError
from sftok.data.base import DataError
from sftok.data.folder_layout import LAYOUTS
from sftok.data.shard_writer import ShardingConfig, write_shards

SECONDS = 1.0
"""Between two lines of progress."""


class Progress:
    """Says on standard error how far it is."""

    def __init__(self) -> None:
        self._said = 0.0

    def __call__(self, done: int, total: int) -> None:
        """`done` of `total` images are written."""
        now = time.monotonic()
        if now - self._said < SECONDS and done < total:
            return
        self._said = now
        print(f"{done:,} of {total:,} images", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    defaults = ShardingConfig()
    found = argparse.ArgumentParser(prog="python -m sftok.data.make_shards", description=__doc__)
    found.add_argument("folder", type=Path, help=f"images laid out as {LAYOUTS}")
    found.add_argument("out", type=Path, help="where the shards go: a new folder, or one to go on with")
    found.add_argument(
        "--images-per-shard",
        type=int,
        default=defaults.images_per_shard,
        metavar="N",
        help="default: %(default)s",
    )
    found.add_argument(
        "--size",
        type=int,
        default=defaults.size,
        metavar="PIXELS",
        help="resize the short side, and store without loss; by default files stay as they are",
    )
    return found


def main(argv: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        config = ShardingConfig.build({"images_per_shard": options.images_per_shard, "size": options.size})
        if not options.folder.is_dir():
            raise DataError(f"folder: {options.folder} is not a folder; it must hold {LAYOUTS}")
        write_shards(options.folder, options.out, config, Progress())
    except (ConfigError, DataError) as error:
        return _say(error, code=2)
    except OSError as error:
        return _say(error, code=1)
    except KeyboardInterrupt:
        return 130
    return 0


def _say(error: Exception, code: int) -> int:
    print(f"make_shards: {' '.join(str(error).split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
