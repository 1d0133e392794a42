"""`evaluate`: measures a tokenizer, a codec or images under the full protocol."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from experiments.commands.options import (
    DEFAULT_STORE,
    Assignments,
    DataPath,
    StorePath,
    read_assignment,
    text_of,
    whole_number,
)
from experiments.commands.wiring import Wired
from experiments.store import Store


def read_steps(text: str) -> tuple[int, ...]:
    """Parse numbers of steps: a range such as `1-16`, or a list such as `1,2,4`."""
    try:
        if "-" in text:
            first, last = (int(part) for part in text.split("-"))
            chosen = tuple(range(first, last + 1))
        else:
            chosen = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r}: write 1-16 or 1,2,4,8,16") from None
    if not chosen or min(chosen) < 1:
        raise ValueError(f"{text!r}: give at least one number of steps; none may be below 1")
    return chosen


def read_qualities(text: str) -> tuple[int, ...]:
    """Parse a list of numbers such as `10,50,90`."""
    return tuple(whole_number(part, least=0) for part in text.split(","))


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SubjectOptions:
    """Options that choose and open the subject to measure."""

    tokenizer: Annotated[
        str | None,
        Parameter(
            metavar="MODULE:NAME|FILE.py",
            help="your own tokenizer: a function that returns an object with encode and decode, or "
            "reconstruct (default NAME: build)",
        ),
    ] = None
    reconstructions: Annotated[
        Path | None,
        Parameter(metavar="DIR|FILE.npz", help="saved reconstructions, paired with the images of --data"),
    ] = None
    samples: Annotated[
        Path | None, Parameter(metavar="DIR|FILE.npz", help="generated images, compared with those of --data")
    ] = None
    pair: Annotated[
        Literal["name", "order"] | None,
        Parameter(help="how --reconstructions are paired (default: a folder by name, a .npz by order)"),
    ] = None
    quality: Annotated[
        tuple[int, ...] | None,
        text_of(read_qualities, metavar="A,B,...", help="qualities of a codec (default: 1,5,10,25,50,75,90)"),
    ] = None
    teacher: Annotated[
        Path | None, Parameter(metavar="FILE", help="MaskGIT-VQGAN for a checkpoint without a pixel decoder")
    ] = None
    seed: Annotated[
        int | None,
        text_of(
            partial(whole_number, least=0),
            metavar="N",
            show_default=False,
            help="seed of the weights of random:NAME (default: 0)",
        ),
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """Options for how the subject is measured."""

    reference: Annotated[
        str | None,
        Parameter(
            metavar="SPLIT|DIR|FILE.npz",
            help="images to compare features with: train or validation, a folder, or ADM's reference batch "
            "(default: the images of --data)",
        ),
    ] = None
    explain: Annotated[
        bool,
        Parameter(
            show_default=False,
            help="instead, print rFID under other common protocols, to explain why numbers differ",
        ),
    ] = False
    bootstrap: Annotated[
        int,
        text_of(
            partial(whole_number, least=2),
            metavar="N",
            show_default=False,
            help="number of resamples for 95 % intervals (try 50)",
        ),
    ] = 0
    probe: Annotated[
        bool,
        Parameter(
            show_default=False, help="also predict the class from the token embeddings: linear probe and kNN"
        ),
    ] = False
    per_class: Annotated[bool, Parameter(show_default=False, help="also print the numbers of each class")] = (
        False
    )
    steps: Annotated[
        tuple[int, ...] | None,
        text_of(read_steps, metavar="A-B|A,B,...", help="numbers of decoding steps (default: 1,2,4,8,16)"),
    ] = None
    overrides: Annotated[
        Assignments,
        text_of(
            read_assignment,
            repeatable=True,
            name="--set",
            metavar="KEY=VALUE",
            help="override a value of evaluation, data, device or tf32, e.g. device=cuda; may be repeated",
        ),
    ] = ()
    data: DataPath = None


def evaluate(
    checkpoint: Annotated[
        str | None,
        Parameter(
            help="a file, a folder, a Hugging Face id, random:NAME for untrained weights, diffusers:ID for "
            "an autoencoder of diffusers, or codec:jpeg, codec:webp, codec:avif"
        ),
    ] = None,
    /,
    *,
    subject: SubjectOptions = SubjectOptions(),
    options: MeasureOptions = MeasureOptions(),
    store: StorePath = DEFAULT_STORE,
    format: Literal["text", "csv", "json"] = "text",
    wiring: Wired,
) -> None:
    """Measure a tokenizer on a split of a data set; a repeated call prints the stored numbers."""
    # Imported here, so that wrong options are reported before torch is loaded.
    from experiments.commands.measure import as_text, by_class, explained, measure, measure_samples, numbers
    from experiments.commands.subjects import chosen_subject

    chosen = chosen_subject(checkpoint, subject)
    opened = Store(store)
    if isinstance(chosen, Path):
        result = measure_samples(chosen, options, opened)
    else:
        result = measure(chosen, options, opened)
    if options.explain:
        table = explained(result)
        print(table.to_string(index=False) if format == "text" else wiring.export(table, format).rstrip())
        return
    measured = numbers(result)
    print(f"page: {wiring.build_evaluations(opened.root)}", file=sys.stderr)
    print(as_text(measured) if format == "text" else wiring.export(measured, format).rstrip())
    if options.per_class and format == "text":
        print(f"\n{by_class(measured).to_string(index=False)}")
