"""`run --released DIR`: measures a table with the weights published by the authors of its systems.

`DIR/ROW/` holds the file of a row. Rows without a file are neither trained nor measured, so that a table of
systems that take GPU years to train is measured in hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.specs import Experiment, FoundWeights, Row
from sftok.config import ConfigError

ALONE = "evaluation."
"""Prefix of the overrides that also apply to weights trained elsewhere."""


def with_released(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment with only the rows whose weights are in `folder`, and the claims about them.

    Raises:
        CheckpointError: weights are damaged, or not of a tokenizer that this package reads.
        ConfigError: no row of the experiment has released weights.
    """
    if not any(row.release for row in experiment.trained_rows):
        raise ConfigError(
            f"--released: no row of {experiment.name} has released weights that this package reads"
        )
    rows = tuple(_measured(row, folder / row.name) if row.trained else row for row in experiment.rows)
    measured = {row.name for row in rows if row.trained}
    claims = tuple(
        claim
        for claim in experiment.claims
        if measured >= {point.row for pair in claim.comparisons for point in (pair.left, pair.right)}
    )
    return experiment.model_copy(update={"rows": rows, "claims": claims})


def lines(before: Experiment, after: Experiment, folder: Path) -> Iterator[str]:
    """Lines that list the measured rows and, for each of the others, the file to get and its source."""
    found = {row.name: row.found.path for row in after.trained_rows if row.found}
    yield f"{before.name}: {len(found)} rows have released weights in {folder}"
    yield from (f"  {name}: measured, {path}" for name, path in found.items())
    for row in before.trained_rows:
        if row.name not in found:
            wanted = row.release and f"put {row.release.file} into {folder / row.name}; {row.release.source}"
            yield f"  {row.name}: left out, {wanted or 'no released weights that this package reads'}"
    kept = {claim.name for claim in after.claims}
    if left_out := [claim.name for claim in before.claims if claim.name not in kept]:
        yield f"  claims left out with their rows: {', '.join(left_out)}"


def _measured(row: Row, folder: Path) -> Row:
    found = _found(folder) if row.release and folder.is_dir() and any(folder.iterdir()) else None
    own = {key: value for key, value in row.overrides.items() if key.startswith(ALONE)} if found else {}
    changes = {"found": found, "trained": found is not None, "overrides": own, "variants": ()}
    if found is None:
        return row.model_copy(update=changes)
    note = "; ".join(filter(None, (row.note, "measured here with its authors' released weights")))
    steps = row.steps if found.iterative else 1 if found.single_step else None
    return row.model_copy(update={**changes, "subject": "tokenizer", "note": note, "steps": steps})


def _found(folder: Path) -> FoundWeights:
    # Imported here, because commands without the option need no networks.
    from sftok.checkpoints.location import locate
    from sftok.tokenizers.hub import identity, open_tokenizer

    path = locate(str(folder.absolute()))
    tokenizer = open_tokenizer(path)
    return FoundWeights(
        path=str(path),
        content=identity(tokenizer),
        image_size=tokenizer.image_size,
        num_tokens=tokenizer.num_tokens,
        vocabulary=tokenizer.codebook_size,
        iterative=hasattr(tokenizer, "decode_codes"),
        single_step=getattr(tokenizer, "single_step", False),
    )


def all_released(experiments: Sequence[Experiment], folder: Path) -> list[Experiment]:
    """Apply `with_released` to each experiment and print the result.

    Raises:
        CheckpointError, ConfigError: as `with_released`.
    """
    changed = [with_released(each, folder) for each in experiments]
    for before, after in zip(experiments, changed, strict=True):
        print("\n".join(lines(before, after, folder)), flush=True)
    return changed
