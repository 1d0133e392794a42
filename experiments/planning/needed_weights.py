"""Other people's weights that artifacts need, looked for before anything is made.

Stage 3 comes days after the first step, and an evaluation later still: what they miss must be said at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from experiments.artifacts import Artifact
from sftok.evaluation.config import EvaluationError, ExtractorConfig
from sftok.evaluation.extractors import build_extractor
from sftok.pretrained import PretrainedError, dino_vit_small, efficientnet_lite0, lpips_network


class MissingWeightsError(RuntimeError):
    """Weights that are needed are not at hand; one line: for what, which file, where, and the remedy."""


_NETWORKS: dict[str, Callable[[], object]] = {
    "dino": dino_vit_small,
    "efficientnet-lite0": efficientnet_lite0,
    "inception-v3-compat": lambda: build_extractor(ExtractorConfig(name="inception-v3-compat")),
    "lpips": lambda: lpips_network("alex"),
    "lpips-alex": lambda: lpips_network("alex"),
    "lpips-vgg": lambda: lpips_network("vgg"),
}
"""What loads each network, by its name in a configuration (`lpips` is the metric, the others of stage 3)."""


def require_weights(artifacts: Iterable[Artifact]) -> None:
    """Load what `artifacts` need once, so that a damaged file is found as well as a missing one.

    Raises:
        MissingWeightsError: something is missing or damaged; all of it, in one line.
    """
    needed: dict[str, str] = {}
    for artifact in artifacts:
        for name in _named(artifact):
            needed.setdefault(name, artifact.label)
    problems: dict[str, str] = {}
    for name, label in needed.items():
        try:
            _NETWORKS[name]()
        except (EvaluationError, PretrainedError) as error:
            problems.setdefault(str(error), label)
    if problems:
        raise MissingWeightsError("; ".join(f"{label} needs {error}" for error, label in problems.items()))


def _named(artifact: Artifact) -> Iterator[str]:
    """The published networks of a stage 3, or of an evaluation's protocol."""
    for part in ("perceptual", "discriminator"):
        if part in artifact.config:
            yield artifact.config[part]["name"]
    protocol = artifact.config.get("protocol", {})
    for extractor in protocol.get("extractors", ()):
        if extractor["name"] != "classifier":
            yield extractor["name"]
    if "lpips" in protocol.get("extra_metrics", ()):
        yield "lpips"
