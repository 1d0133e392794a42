"""Figures 9 to 14: the losses of stage 3.

Paper: Figures 9 to 14 and Appendix E.1: SFTok-B and SFTok-L over the first 500k steps. All losses fall,
except the quantizer's, which is constant because encoder and quantizer are frozen; the discriminator and GAN
losses start with the discriminator at 20k. SFTok-L is below SFTok-B. The figures print no numbers.

Command: `python -m experiments run figures9_14`
Expected: shares every artifact with `table1`.
"""

from experiments.specs import Claim, Curve, Experiment, Row

EXPERIMENT = Experiment(
    name="figures9_14",
    kind="figure",
    title="Losses of stage 3",
    source="Figures 9 to 14, Appendix E.1",
    description="The training curves of stage 3 for SFTok-B and SFTok-L, from the first step to the last.",
    rows=(Row(name="sftok-b", as_in="table1"), Row(name="sftok-l", as_in="table1")),
    curves=(
        Curve(title="Figure 9: discriminator loss", stages=("fine-tuning",), quantity="discriminator_loss"),
        Curve(title="Figure 10: GAN loss", stages=("fine-tuning",), quantity="gan_loss"),
        Curve(title="Figure 11: perceptual loss", stages=("fine-tuning",), quantity="perceptual_loss"),
        Curve(title="Figure 12: quantizer loss", stages=("fine-tuning",), quantity="quantizer_loss"),
        Curve(
            title="Figure 13: reconstruction loss", stages=("fine-tuning",), quantity="reconstruction_loss"
        ),
        Curve(title="Figure 14: total loss", stages=("fine-tuning",), quantity="loss"),
    ),
    claims=(
        Claim(
            name="larger-decoder-reconstruction-loss",
            text="SFTok-L ends with a lower reconstruction loss than SFTok-B",
            source="Figure 13, Appendix E.1",
            metric="final_reconstruction_loss",
            order="sftok-l < sftok-b",
        ),
        Claim(
            name="larger-decoder-perceptual-loss",
            text="SFTok-L ends with a lower perceptual loss than SFTok-B",
            source="Figure 11, Appendix E.1",
            metric="final_perceptual_loss",
            order="sftok-l < sftok-b",
        ),
        Claim(
            name="larger-decoder-gan-loss",
            text="SFTok-L ends with a lower GAN loss than SFTok-B",
            source="Figure 10, Appendix E.1",
            metric="final_gan_loss",
            order="sftok-l < sftok-b",
        ),
        Claim(
            name="larger-decoder-discriminator-loss",
            text="SFTok-L ends with a lower discriminator loss than SFTok-B",
            source="Figure 9, Appendix E.1",
            metric="final_discriminator_loss",
            order="sftok-l < sftok-b",
        ),
        Claim(
            name="larger-decoder-total-loss",
            text="SFTok-L ends with a lower total loss than SFTok-B",
            source="Figure 14, Appendix E.1",
            metric="final_loss",
            order="sftok-l < sftok-b",
        ),
    ),
)
