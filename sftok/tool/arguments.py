"""The arguments of the commands."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with code 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> Parser:
    """Build the parser with every command."""
    root = Parser(
        prog="python -m sftok",
        description="Turn images into token ids and back, and sample new images.",
        epilog="exit codes: 0 success, 1 output cannot be written or out of memory, 2 wrong input, "
        "130 interrupted",
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    command = commands.add_parser("tokenize", help="encode images to a .npz file of token ids")
    command.add_argument(
        "images", nargs="+", metavar="IMAGE", help="an image file, or a folder (searched recursively)"
    )
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="TOKENS.npz",
        help="token file to write: ids [N, K], file names, preprocessing and checkpoint",
    )
    _checkpoint(command)
    _batches(command)
    _unreadable(command)

    command = commands.add_parser(
        "reconstruct", help="reconstruct images, or decode a token file, and write PNGs"
    )
    command.add_argument(
        "inputs",
        nargs="+",
        metavar="IMAGE|TOKENS.npz",
        help="image files and folders, or a file that `tokenize` wrote",
    )
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for the PNGs"
    )
    command.add_argument(
        "--steps", type=int, metavar="T", help="decoding steps (default: the checkpoint's, 8 in the paper)"
    )
    command.add_argument(
        "--temperature",
        type=float,
        help="temperature of the decoding noise; 0 for none (default: the checkpoint's)",
    )
    _checkpoint(command)
    _batches(command)
    _unreadable(command)

    command = commands.add_parser(
        "sample", help="generate images of every class in turn, as a .npz in ADM's format"
    )
    command.add_argument(
        "--generator", required=True, metavar="G", help="a generator: a file, a folder or a Hugging Face id"
    )
    command.add_argument("--number", type=positive, required=True, metavar="N", help="number of images")
    command.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="SAMPLES.npz",
        help="file to write: images arr_0, labels arr_1",
    )
    command.add_argument("--steps", type=int, metavar="T", help="sampling steps (default: 8)")
    command.add_argument("--temperature", type=float, help="temperature of the sampling noise (default: 1)")
    command.add_argument("--guidance-scale", type=float, help="0 for no guidance (default: 4.5)")
    command.add_argument("--guidance-schedule", help="constant, linear or power-cosine (default: constant)")
    _checkpoint(command)
    _batches(command)

    command = commands.add_parser("info", help="describe a checkpoint")
    command.add_argument(
        "--format", choices=("text", "json"), default="text", help="output format (default: %(default)s)"
    )
    _checkpoint(command)
    return root


def _checkpoint(command: Parser) -> None:
    command.add_argument(
        "--checkpoint",
        required=True,
        metavar="C",
        help="a file, a folder, a Hugging Face id, or random:NAME for random weights (e.g. random:sftok-b)",
    )
    command.add_argument(
        "--teacher",
        metavar="FILE",
        help="the MaskGIT-VQGAN that completes a released SFTok checkpoint without a pixel decoder",
    )
    command.add_argument(
        "--seed",
        type=seed,
        default=0,
        help="seed of random weights and decoding noise (default: %(default)s)",
    )


def _batches(command: Parser) -> None:
    command.add_argument(
        "--batch-size", type=positive, default=8, metavar="N", help="images per batch (default: %(default)s)"
    )
    command.add_argument("--device", help="where to compute (default: cuda if available, else cpu)")


def _unreadable(command: Parser) -> None:
    command.add_argument(
        "--unreadable",
        choices=("fatal", "skip"),
        default="fatal",
        help="what to do with a file that cannot be read as an image (default: %(default)s)",
    )


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    return _whole(text, least=1)


def seed(text: str) -> int:
    """Parse a whole number of at least 0."""
    return _whole(text, least=0)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not least <= number < 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least}")
    return number
