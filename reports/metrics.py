"""How each metric is called, which way is better, and what it says, in a reader's words."""

from __future__ import annotations

from dataclasses import dataclass, replace

from experiments.records.quantities import of_step, visible_percent


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
            "hours_stages_1_2",
            "Hours, stages 1 and 2",
            -1,
            "GPU hours in the paper, hours here",
            "measured time",
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


QUANTITIES = {
    info.name: replace(info, space="predicted codes")
    for info in (
        MetricInfo("kl", "KL divergence (nats)", -1, "from the truth, or from the final prediction"),
        MetricInfo("top_1", "Top-1 accuracy", +1, "share of codes whose likeliest prediction is right"),
        MetricInfo(of_step("kl_to_truth"), "KL from the truth (nats)", -1, "cross-entropy of the true code"),
        MetricInfo(of_step("kl_to_final"), "KL from the final prediction (nats)", -1, "KL(p_T || p_i)"),
        MetricInfo(of_step("accuracy"), "Top-1 accuracy", +1, "agreement with the teacher's codes"),
        MetricInfo(
            of_step("agreement_with_final"), "Top-1 agreement with the final prediction", +1, "codes alike"
        ),
        MetricInfo("cross_entropy", "Cross-entropy (nats a code)", -1, "of the teacher's codes"),
        MetricInfo("accuracy_bound", "Bound of the accuracy", +1, "mean of the largest probability"),
        MetricInfo("gain", "Gain in cross-entropy (nats)", +1, "no context minus a context"),
        MetricInfo("information_gain", "Information gain (nats)", +1, "no context minus true codes"),
        MetricInfo("computation_gain", "Computation gain (nats)", +1, "no context minus own codes"),
        MetricInfo("second_pass_gain", "Gain of a second pass (nats)", +1, "no context minus second pass"),
        MetricInfo("exposure_gap", "Exposure gap (nats)", -1, "own codes minus true codes"),
    )
}
"""What analyses measure (Figure 4a, Appendix C), and what their quantities have in common."""


def metric_info(name: str) -> MetricInfo:
    """The metric of that name; one that is not listed keeps its name and no direction."""
    context = visible_percent(name)
    if context is not None and context[0] in QUANTITIES:
        quantity, percent = context
        info = QUANTITIES[quantity]
        return replace(info, name=name, label=f"{info.label}, {percent:g} % visible")
    return METRICS.get(name) or QUANTITIES.get(name) or MetricInfo(name, name, 0, "")


def display_order(names: list[str]) -> list[str]:
    """`names` with the known metrics first, in their order, then the others by name."""
    known = list(METRICS)
    return sorted(names, key=lambda name: (known.index(name) if name in METRICS else len(known), name))
