"""The smoke profile: every spec in seconds, on a slice of Fashion-MNIST; its numbers mean nothing."""

from experiments.profiles.base import Profile

_TRAINING = {"batch_size": 16, "checkpoint_every": 2, "log_every": 1, "precision": "bf16"}

_FINE_TUNING = {"batch_size": 8, "checkpoint_every": 2, "log_every": 1}

PROFILE = Profile(
    name="smoke",
    purpose="CI: seconds on a slice of Fashion-MNIST; the numbers mean nothing",
    meaningless=True,
    threads=1,
    overlay={
        "device": "cpu",
        "data.source": "fashion-mnist",
        "data.image_size": 28,
        "data.validation_images": 100,
        "data.limit": 100,
        "teacher.hidden_channels": 8,
        "teacher.channel_multipliers": [1, 1, 2],
        "teacher.num_res_blocks": 1,
        "teacher.code_dim": 8,
        "teacher.codebook_size": 16,
        "teacher.norm_groups": 4,
        "teacher.steps": 4,
        "teacher.training": _TRAINING,
        "classifier.channels": [8, 16, 16],
        "classifier.steps": 4,
        "classifier.training": _TRAINING,
        "tokenizer.patch_size": 7,
        "tokenizer.num_latent_tokens": 4,
        "tokenizer.codebook_size": 16,
        "tokenizer.token_dim": 8,
        "tokenizer.encoder": {"width": 16, "depth": 1, "heads": 2},
        "tokenizer.decoder": {"width": 16, "depth": 1, "heads": 2},
        "tokenizer_steps": 6,
        "stage1.steps": 2,
        "stage1.training": _TRAINING,
        "stage2.training": _TRAINING,
        "stage3.steps": 3,
        "stage3.discriminator_start": 1,
        "stage3.perceptual": {"name": "efficientnet-lite0", "resolution": 64},
        "stage3.discriminator": {"name": "efficientnet-lite0", "resolution": 64},
        "stage3.training": _FINE_TUNING,
        "evaluation.extractors": [
            {"name": "classifier"},
            {"name": "efficientnet-lite0", "resolution": 48},
        ],
        "evaluation.primary_extractor": "classifier",
    },
    variants={
        "larger-decoder": {"tokenizer.decoder": {"width": 24, "depth": 2, "heads": 2}},
        "deeper-decoder": {"tokenizer.decoder.depth": 2},
        "larger-codebook": {"teacher.codebook_size": 32},
    },
    seconds_per_step={
        "classifier": 0.02,
        "teacher": 0.05,
        "codes": 0.1,
        "warm-up": 0.05,
        "alignment": 0.05,
        "fine-tuning": 0.35,
        "single-step-fine-tuning": 0.3,
        "evaluation": 2.0,
        "analysis": 0.5,
    },
)
