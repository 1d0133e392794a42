"""Where each value of the paper profile comes from: the paper, or a row of docs/deviations.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from experiments.paper.table6 import EXPERIMENT as TABLE_6
from experiments.profiles.base import Profile

DEVIATIONS = "docs/deviations.md: "
"""In front of the name of a row there."""

OURS = "ours: changes no number"

SOURCES = {
    "data.source": "--data: an image folder as ImageNet is, or shards of it",
    "data.path": "--data",
    "data.unreadable": OURS,
    "data.limit": "all images (Appendix D.1)",
    "data.validation_images": DEVIATIONS + "how its values were chosen",
    "data": DEVIATIONS + "images and reference of rFID",
    "augmentation": DEVIATIONS + "views of training images",
    "device": OURS,
    "teacher": DEVIATIONS + "teacher's training",
    "teacher.checkpoint": "--set teacher.checkpoint=...: the released MaskGIT-VQGAN (Section 3.3)",
    "teacher.seed": DEVIATIONS + "teacher and seeds",
    "classifier": DEVIATIONS + "feature space",
    "tokenizer.encoder": "Section 4.1: ViT-B",
    "tokenizer.decoder": "Section 4.1: ViT-B; ViT-L in SFTok-L",
    "tokenizer.encoder.latent_layout": DEVIATIONS + "encoder's latent layout",
    "tokenizer.quantizer.name": "Section 3.3: OptVQ",
    "stage2.context.name": "Section 3.2: self-forcing",
    "tokenizer.quantizer.sinkhorn_epsilon": DEVIATIONS + "OptVQ cost",
    "tokenizer.quantizer.sinkhorn_iterations": DEVIATIONS + "OptVQ cost",
    "tokenizer_steps": "Section 4.4: 1000k steps for stages 1 and 2",
    "stage1.steps": "Section 4.1, Table 6: 200k steps",
    "stage2.mask_schedule": DEVIATIONS + "mask ratio in training",
    "stage3.steps": "Section 4.1, Table 6: 1000k steps",
    "stage3.mask_schedule": DEVIATIONS + "mask ratio in training",
    "stage3.lecam_decay": DEVIATIONS + "stage 3 losses",
    "stage3.perceptual": "Table 6: lpips",
    "stage3.discriminator": "Table 6: dinodisc, with the heads of " + DEVIATIONS + "stage 3 losses",
    "stage1.training": "Table 6, Training",
    "stage2.training": "Table 6, Training",
    "stage3.training": "Table 6, Training",
    "stage1.training.batch_size": "Table 6: 32 per GPU, on 8 GPUs (Section 4.1)",
    "stage2.training.batch_size": "Table 6: 32 per GPU, on 8 GPUs (Section 4.1)",
    "stage3.training.batch_size": "Table 6: 8 per GPU, on 8 GPUs (Section 4.1)",
    "fine_tuned": "Sections 4.2 and 4.4: Table 1 is after stage 3, Tables 3 and 4 are before it",
    "tail_drop": "One-D-Piece's alone (Table 1)",
    "evaluation": DEVIATIONS + "images and reference of rFID",
    "evaluation.steps": DEVIATIONS + "decoding steps",
    "evaluation.schedule": DEVIATIONS + "mask ratio in training",
    "evaluation.final_lookup": DEVIATIONS + "final image",
    "evaluation.extractors": DEVIATIONS + "feature space",
    "evaluation.primary_extractor": DEVIATIONS + "feature space",
    "evaluation.metrics": DEVIATIONS + "LPIPS",
    "evaluation.kept_share": "all tokens; One-D-Piece is also decoded from fewer (Table 1)",
    "evaluation.split": "Section 4.2: the validation images of ImageNet are the test split here",
    "evaluation.batch_size": DEVIATIONS + "annealing",
    "analysis": DEVIATIONS + "analyses of Figure 4a and Appendix C",
    "analysis.steps": "Section 3.2: T = 8",
    "generator": DEVIATIONS + "generator",
    "generator.training": DEVIATIONS + "generator's training",
    "generator.steps": DEVIATIONS + "generator's training",
    "generator.loss": DEVIATIONS + "generator's training",
    "generation": DEVIATIONS + "generation",
    "generation.steps": "Section 4.3: 8 steps",
    "generation.decoding_steps": "Section 4.2: 8 steps",
    "generation.grid": DEVIATIONS + "choice of the guidance",
    "generation.choice_split": DEVIATIONS + "choice of the guidance",
    "generation.choice_images": DEVIATIONS + "choice of the guidance",
    "generation.example_classes": OURS,
    "generation.examples_per_class": OURS,
}
"""By dotted key, or by the beginning of one; the longest that fits holds. Table 6's keys come before."""

ENDINGS = {"ema_decay": DEVIATIONS + "EMA", "checkpoint_every": OURS, "log_every": OURS}
"""By the last part of a key, whatever comes before it."""


def source(key: str) -> str | None:
    """Where the paper profile's value of a dotted key comes from; None if nothing is said of it."""
    return _table_6().get(key) or ENDINGS.get(key.rpartition(".")[2]) or _by_beginning(key)


def source_at(
    key: str, value: Any, profile: Profile, paper: Mapping[str, Any], chosen: Mapping[str, Any]
) -> str:
    """Where a value comes from at any profile.

    Args:
        key: dotted.
        value: the resolved value.
        profile: whose it is.
        paper: the paper profile's values by dotted key.
        chosen: what the command line sets, by dotted key or the beginning of one.
    """
    if any(key == name or key.startswith(f"{name}.") for name in chosen):
        return "--set, --overlay or --data"
    if profile.name != "paper" and value != paper.get(key):
        return f"profile {profile.name}"
    return source(key) or "not said"


def _by_beginning(key: str) -> str | None:
    while key:
        if key in SOURCES:
            return SOURCES[key]
        key = key.rpartition(".")[0]
    return None


def _table_6() -> dict[str, str]:
    return dict(_entries())


def _entries() -> Iterator[tuple[str, str]]:
    for setting in TABLE_6.settings:
        for stage in (1, 2, 3):
            if setting.key:
                yield (
                    setting.key.replace("{n}", str(stage)),
                    f"Table 6: {setting.category}, {setting.parameter}",
                )
