"""The paper profile: Table 6 of the paper to the letter; most of its values are the recipe's defaults."""

from experiments.profiles.base import Profile

PROFILE = Profile(
    name="paper",
    purpose="a node or a cluster: ImageNet at 256x256, Table 6 of the paper",
    overlay={
        "data.source": "folder",
        "data.image_size": 256,
        # Another view in every epoch, so the teacher's codes are computed at every step, as in the release.
        "augmentation.random_crop": True,
        "augmentation.flip": True,
        "stage1.training.precision": "fp16",
        "stage2.training.precision": "fp16",
        "stage3.training.precision": "fp16",
        # Table 6 has no generator; the release trains it in bf16.
        "generator.training.precision": "bf16",
        # SFTok-L's state is 6 GB, and everybody waits for it; told to stop, a job writes one anyway.
        "teacher.training.checkpoint_every": 2000,
        "stage1.training.checkpoint_every": 2000,
        "stage2.training.checkpoint_every": 2000,
        "stage3.training.checkpoint_every": 2000,
        "generator.training.checkpoint_every": 2000,
    },
    variants={
        # SFTok-L: "the decoder employs a ViT-L architecture" (Sections 4.1, D.2).
        "larger-decoder": {
            "tokenizer.decoder.width": 1024,
            "tokenizer.decoder.depth": 24,
            "tokenizer.decoder.heads": 16,
        },
        # Twice the layers of ViT-B: one pass computes what two of SFTok-B's do (Appendix C's control).
        "deeper-decoder": {"tokenizer.decoder.depth": 24},
        # VQGAN's codebook in Table 1.
        "larger-codebook": {"teacher.backbone.codebook_size": 16_384},
    },
)
