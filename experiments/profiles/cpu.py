"""The cpu profile: a laptop without a GPU, minutes on two cores; the effects are real."""

from experiments.profiles.base import Profile

_TRAINING = {
    "batch_size": 64,
    "precision": "bf16",
    "optimizer": {
        "learning_rate": 2e-3,
        "end_learning_rate": 2e-5,
        "warmup_steps": 200,
        "weight_decay": 1e-4,
    },
}

_FINE_TUNING = {
    # A step costs what its images do, and what counts here is the number of steps.
    "batch_size": 16,
    "optimizer": {"learning_rate": 4e-4, "end_learning_rate": 4e-5, "warmup_steps": 50, "beta2": 0.999},
}

_GENERATOR_TRAINING = {
    "batch_size": 64,
    "precision": "bf16",
    "optimizer": {
        "learning_rate": 1e-3,
        "end_learning_rate": 1e-5,
        "warmup_steps": 200,
        "beta2": 0.96,
        "weight_decay": 0.03,
    },
}

PROFILE = Profile(
    name="cpu",
    purpose="a laptop without a GPU, minutes: Fashion-MNIST at 28x28",
    threads=2,
    overlay={
        "device": "cpu",
        "data.source": "fashion-mnist",
        "data.image_size": 28,
        "data.validation_images": 5000,
        "teacher.backbone.hidden_channels": 16,
        "teacher.backbone.channel_multipliers": [1, 2, 2],
        "teacher.backbone.num_res_blocks": 1,
        "teacher.backbone.code_dim": 32,
        "teacher.backbone.codebook_size": 256,
        "teacher.backbone.norm_groups": 8,
        "teacher.steps": 1500,
        "teacher.training": {
            "batch_size": 64,
            "precision": "bf16",
            "optimizer": {"learning_rate": 2e-3, "end_learning_rate": 2e-5, "warmup_steps": 100},
        },
        "classifier.steps": 1000,
        "classifier.training": {
            "batch_size": 256,
            "optimizer": {
                "learning_rate": 4e-3,
                "end_learning_rate": 2e-5,
                "warmup_steps": 100,
                "weight_decay": 0.05,
            },
        },
        "tokenizer.encoder.patch_size": 7,
        "tokenizer.num_latent_tokens": 2,
        "tokenizer.quantizer.codebook_size": 512,
        "tokenizer.token_dim": 16,
        "tokenizer.encoder.width": 64,
        "tokenizer.encoder.depth": 4,
        "tokenizer.encoder.heads": 2,
        "tokenizer.decoder.width": 64,
        "tokenizer.decoder.depth": 4,
        "tokenizer.decoder.heads": 2,
        "tokenizer_steps": 3000,
        "stage1.steps": 600,
        "stage1.training": _TRAINING,
        "stage2.training": _TRAINING,
        "stage3.steps": 6000,
        "stage3.discriminator_start": 100,
        "stage3.discriminator_weight": 0.05,
        "stage3.perceptual": {"name": "efficientnet-lite0", "resolution": 32},
        "stage3.discriminator": {"name": "efficientnet-lite0", "resolution": 32},
        "stage3.training": _FINE_TUNING,
        "evaluation.extractors": [{"name": "classifier"}, {"name": "efficientnet-lite0", "resolution": 64}],
        "evaluation.precision": "bf16",
        "evaluation.temperature": 0.0,
        "evaluation.primary_extractor": "classifier",
        "generator.model.width": 96,
        "generator.model.depth": 4,
        "generator.model.heads": 3,
        "generator.model.dropout": 0.0,
        "generator.steps": 2500,
        "generator.training": _GENERATOR_TRAINING,
        "generation.grid": {"scales": [0.0, 1.0, 3.0], "temperatures": [1.0, 3.0]},
        "generation.choice_split": "validation",
        "generation.choice_images": 1000,
    },
    variants={
        "larger-decoder": {
            "tokenizer.decoder.width": 96,
            "tokenizer.decoder.depth": 6,
            "tokenizer.decoder.heads": 3,
        },
        "deeper-decoder": {"tokenizer.decoder.depth": 8},
        "larger-codebook": {"teacher.backbone.codebook_size": 1024},
    },
    seconds_per_step={
        "classifier": 0.03,
        "teacher": 0.08,
        "codes": 15.0,
        "warm-up": 0.04,
        "alignment": 0.05,
        "fine-tuning": 0.1,
        "single-step-fine-tuning": 0.1,
        "evaluation": 80.0,
        "tokens": 15.0,
        "generator": 0.04,
        "guidance": 50.0,
        "generation": 40.0,
        "analysis": 10.0,
    },
)
