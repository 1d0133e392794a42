"""How each metric is called, which way is better, and what it says, in a reader's words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MetricInfo:
    """A metric as a report shows it."""

    name: str
    label: str
    direction: int
    """+1: higher is better, -1: lower is better, 0: neither."""
    meaning: str
    space: str = "pixels, codes"
    """What stands in a feature space's place for a metric that has none."""

    @property
    def arrow(self) -> str:
        """The direction as in the paper's tables: `↓` for lower is better."""
        return {1: "↑", -1: "↓", 0: ""}[self.direction]

    @property
    def heading(self) -> str:
        """Label and arrow."""
        return f"{self.label} {self.arrow}".strip()


METRICS = {
    info.name: info
    for info in (
        MetricInfo("rfid", "rFID", -1, "Fréchet distance between features of originals and reconstructions"),
        MetricInfo("gfid", "gFID", -1, "Fréchet distance between features of real and generated images"),
        MetricInfo("is", "IS", +1, "Inception score: recognisable images of all classes score high"),
        MetricInfo("kid", "KID", -1, "kernel distance between the features that FID compares"),
        MetricInfo(
            "precision",
            "Precision",
            +1,
            "share of reconstructed or generated images that lie among real ones",
        ),
        MetricInfo(
            "recall", "Recall", +1, "share of real images that lie among reconstructed or generated ones"
        ),
        MetricInfo("lpips", "LPIPS", -1, "perceptual distance to the original"),
        MetricInfo("psnr", "PSNR (dB)", +1, "fidelity to the original, pixel by pixel"),
        MetricInfo("ssim", "SSIM", +1, "structural similarity to the original"),
        MetricInfo("code_accuracy", "Code accuracy", +1, "share of the teacher's codes predicted exactly"),
        MetricInfo("codebook_usage", "Codebook usage", +1, "share of the codebook that occurs at all"),
        MetricInfo("codebook_entropy", "Codebook entropy", 0, "how evenly the codebook is used"),
        MetricInfo(
            "hours_stages_1_2", "Hours, stages 1 and 2", -1, "GPU hours in the paper, hours here", "clock"
        ),
        MetricInfo(
            "hours_stage_3", "Hours, stage 3", -1, "GPU hours in the paper, hours here", "measured time"
        ),
        MetricInfo("hours_total", "Hours in all", -1, "GPU hours in the paper, hours here", "measured time"),
        *(
            MetricInfo(
                f"final_{name}",
                f"{words}, at the end",
                -1,
                f"{words}: mean of the last tenth of the steps",
                "training",
            )
            for name, words in (
                ("loss", "Total loss"),
                ("reconstruction_loss", "Reconstruction loss"),
                ("perceptual_loss", "Perceptual loss"),
                ("gan_loss", "GAN loss"),
                ("discriminator_loss", "Discriminator loss"),
                ("quantizer_loss", "Quantizer loss"),
            )
        ),
    )
}
"""Known metrics in the order of display."""


def metric_info(name: str) -> MetricInfo:
    """The metric of that name; one that is not listed keeps its name and no direction."""
    return METRICS.get(name) or MetricInfo(name, name, 0, "")


def display_order(names: list[str]) -> list[str]:
    """`names` with the known metrics first, in their order, then the others by name."""
    known = list(METRICS)
    return sorted(names, key=lambda name: (known.index(name) if name in METRICS else len(known), name))
