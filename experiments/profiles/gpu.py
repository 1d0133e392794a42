"""The gpu profile: one consumer GPU and a day, on any folder of images."""

from experiments.profiles.base import Profile

PROFILE = Profile(
    name="gpu",
    purpose="one consumer GPU, a day: any image folder at 64x64, ViT-S",
    overlay={
        "data.source": "folder",
        "data.image_size": 64,
        "data.validation_images": 2000,
        # Few enough views that their codes are computed once.
        "augmentation.random_crop": True,
        "augmentation.flip": True,
        "augmentation.views": 4,
        "teacher.hidden_channels": 64,
        "teacher.channel_multipliers": [1, 2, 4],
        "teacher.code_dim": 64,
        "teacher.steps": 50_000,
        "teacher.training.batch_size": 64,
        "tokenizer.patch_size": 8,
        "tokenizer.num_latent_tokens": 32,
        "tokenizer.codebook_size": 4096,
        "tokenizer.encoder.width": 384,
        "tokenizer.encoder.heads": 6,
        "tokenizer.decoder.width": 384,
        "tokenizer.decoder.heads": 6,
        "tokenizer_steps": 100_000,
        "stage1.steps": 20_000,
        "stage1.training.batch_size": 128,
        "stage2.training.batch_size": 128,
        "stage1.training.precision": "bf16",
        "stage2.training.precision": "bf16",
        "stage1.training.optimisation.warmup_steps": 1000,
        "stage2.training.optimisation.warmup_steps": 1000,
        "stage3.training.batch_size": 32,
    },
    variants={
        "larger-decoder": {"tokenizer.decoder": {"width": 512, "depth": 16, "heads": 8}},
        "larger-codebook": {"teacher.codebook_size": 4096},
    },
)
