"""Table 6: the configuration of the three stages, published and here.

Paper: Table 6 and Appendix D.2, for SFTok-B; "SFTok-L differs solely in its decoder". Nothing is trained for
this table: the columns beside the published ones are read off the profile, so that under `--profile paper`
both are the same, and elsewhere it shows what a profile changes.

Command: `python -m experiments run table6`, or at once `python -m experiments show table6 --profile paper`
Expected: seconds.
"""

from experiments.spec import Experiment, Row, Setting

EXPERIMENT = Experiment(
    name="table6",
    kind="table",
    title="Configuration of the three stages",
    source="Table 6, Appendix D.2",
    description=(
        "The paper's configuration of SFTok-B by stage, and what the profile of this run says instead. "
        "Values of the profile are read off its resolved configuration."
    ),
    rows=(Row(name="sftok-b", label="SFTok-B", trained=False),),
    settings=(
        Setting(
            category="Experiment",
            parameter="Max Train Examples",
            published=("1,281,167", "1,281,167", "1,281,167"),
            note="the training images of ImageNet: whatever --data holds is used, all of it",
        ),
        Setting(
            category="Experiment",
            parameter="Resume Training",
            published=("True", "True", "True"),
            note="always: the same command goes on from the last checkpoint",
        ),
        Setting(
            category="Model, VQ Model",
            parameter="Codebook Size",
            published=("8,192", "8,192", "8,192"),
            key="tokenizer.codebook_size",
        ),
        Setting(
            category="Model, VQ Model",
            parameter="Token Size",
            published=("32", "32", "32"),
            key="tokenizer.token_dim",
        ),
        Setting(
            category="Model, VQ Model",
            parameter="Use L2 Norm",
            published=("True", "True", "True"),
            key="tokenizer.use_l2_norm",
        ),
        Setting(
            category="Model, VQ Model",
            parameter="Commitment Cost",
            published=("0.25", "0.25", "0.25"),
            key="tokenizer.commitment_cost",
        ),
        Setting(
            category="Model, VQ Model",
            parameter="Vit Enc Model Size",
            published=("base", "base", "base"),
            key="derived.encoder_size",
            note="elsewhere width × layers × heads",
        ),
        Setting(
            category="Model, VQ Model",
            parameter="Vit Enc Patch Size",
            published=("16", "16", "16"),
            key="tokenizer.patch_size",
        ),
        Setting(
            category="Model, VQ Model",
            parameter="Num Latent Tokens",
            published=("64", "64", "64"),
            key="tokenizer.num_latent_tokens",
        ),
        Setting(
            category="Model, VQ Model",
            parameter="Num Group",
            published=("1", "1", "1"),
            note="one codebook for all channels; the code has no groups",
        ),
        Setting(
            category="Model, VQ Model",
            parameter="Finetune Decoder",
            published=("False", "False", "True"),
            key="stage{n}.trains_pixels",
            note="whether the pixel decoder is trained",
        ),
        Setting(
            category="Model, Decoder",
            parameter="Vit Dec Model Size",
            published=("base", "base", "base"),
            key="derived.decoder_size",
            note="elsewhere width × layers × heads",
        ),
        Setting(
            category="Model, Decoder",
            parameter="Vit Dec Patch Size",
            published=("16", "16", "16"),
            key="derived.code_patch",
            note="pixels a side of one teacher code",
        ),
        Setting(
            category="Model, Decoder",
            parameter="Num Latent Tokens",
            published=("64", "64", "64"),
            key="tokenizer.num_latent_tokens",
        ),
        Setting(
            category="Model, Decoder",
            parameter="Token Size",
            published=("32", "32", "32"),
            key="tokenizer.token_dim",
        ),
        Setting(
            category="Model, Decoder",
            parameter="Num Proxy Codes",
            published=("256", "256", "256"),
            key="derived.num_codes",
        ),
        Setting(
            category="Model, Decoder",
            parameter="Codebook Size",
            published=("1024", "1024", "1024"),
            key="teacher.codebook_size",
        ),
        Setting(
            category="Model, Decoder",
            parameter="Randomize Temperature",
            published=("1.0", "1.0", "1.0"),
            key="evaluation.temperature",
            note="of the decoding; training draws no codes",
        ),
        Setting(
            category="Model, Decoder",
            parameter="Guidance Scale",
            published=("0.0", "0.0", "0.0"),
            note="no guidance in the decoder, so no setting",
        ),
        Setting(
            category="Model, Decoder",
            parameter="Guidance Decay",
            published=('"constant"', '"constant"', '"constant"'),
            note="of no effect at scale 0",
        ),
        Setting(
            category="Model, Decoder",
            parameter="Replace Prob",
            published=("1.0", "1.0", "1.0"),
            key="stage2.replacement_ratio",
            note="of no effect in stage 1, where everything is masked; stage 3 replaces all, as the release",
        ),
        Setting(
            category="Losses",
            parameter="Quantizer Weight",
            published=("1.0", "1.0", "1.0"),
            key="loss.quantizer_weight",
            note="of no effect in stage 3, where the quantizer is frozen",
        ),
        Setting(
            category="Losses",
            parameter="Label Smoothing",
            published=("0.0", "0.0", "-"),
            key="loss.label_smoothing",
        ),
        Setting(
            category="Losses",
            parameter="Loss Weight Unmasked Token",
            published=("0.1", "0.1", "-"),
            key="loss.unmasked_weight",
        ),
        Setting(
            category="Losses",
            parameter="Discriminator Type",
            published=("-", "-", "dinodisc"),
            key="derived.discriminator",
        ),
        Setting(
            category="Losses",
            parameter="Discriminator Start",
            published=("-", "-", "20,000"),
            key="stage3.discriminator_start",
        ),
        Setting(
            category="Losses",
            parameter="Discriminator Factor",
            published=("-", "-", "1.0"),
            key="stage3.discriminator_factor",
        ),
        Setting(
            category="Losses",
            parameter="Discriminator Weight",
            published=("-", "-", "0.5"),
            key="stage3.discriminator_weight",
        ),
        Setting(
            category="Losses",
            parameter="Perceptual Loss",
            published=("-", "-", "lpips"),
            key="derived.perceptual",
        ),
        Setting(
            category="Losses",
            parameter="Perceptual Weight",
            published=("-", "-", "1.0"),
            key="stage3.perceptual_weight",
        ),
        Setting(
            category="Losses",
            parameter="Reconstruction Loss",
            published=("-", "-", "l2"),
            note="the squared error; there is no other",
        ),
        Setting(
            category="Losses",
            parameter="Reconstruction Weight",
            published=("-", "-", "1.0"),
            key="stage3.reconstruction_weight",
        ),
        Setting(
            category="Losses",
            parameter="Lecam Regularization Weight",
            published=("-", "-", "0.001"),
            key="stage3.lecam_weight",
        ),
        Setting(
            category="Dataset",
            parameter="Num Workers Per GPU",
            published=("12", "12", "12"),
            note="changes the speed alone",
        ),
        Setting(
            category="Dataset",
            parameter="Dataset Type",
            published=("simple", "simple", "simple"),
            note="the release's name of its shards; --data decides",
        ),
        Setting(
            category="Dataset, Preprocessing",
            parameter="Resize Shorter Edge",
            published=("256", "256", "256"),
            key="data.image_size",
        ),
        Setting(
            category="Dataset, Preprocessing",
            parameter="Crop Size",
            published=("256", "256", "256"),
            key="data.image_size",
        ),
        Setting(
            category="Optimizer",
            parameter="Learning Rate",
            published=("1e-4", "1e-4", "1e-4"),
            key="stage{n}.training.optimisation.learning_rate",
        ),
        Setting(
            category="Optimizer",
            parameter="Discriminator Learning Rate",
            published=("-", "-", "1e-4"),
            key="stage3.training.optimisation.learning_rate",
            note="as the model's; stage3.training.players can give it another",
        ),
        Setting(
            category="Optimizer",
            parameter="Beta1",
            published=("0.9", "0.9", "0.9"),
            key="stage{n}.training.optimisation.beta1",
        ),
        Setting(
            category="Optimizer",
            parameter="Beta2",
            published=("0.99", "0.99", "0.999"),
            key="stage{n}.training.optimisation.beta2",
        ),
        Setting(
            category="Optimizer",
            parameter="Weight Decay",
            published=("1e-4", "1e-4", "1e-4"),
            key="stage{n}.training.optimisation.weight_decay",
        ),
        Setting(
            category="Lr Scheduler",
            parameter="Learning Rate",
            published=("1e-4", "1e-4", "1e-4"),
            key="stage{n}.training.optimisation.learning_rate",
        ),
        Setting(
            category="Lr Scheduler",
            parameter="Warmup Steps",
            published=("10,000", "10,000", "10,000"),
            key="stage{n}.training.optimisation.warmup_steps",
        ),
        Setting(
            category="Lr Scheduler",
            parameter="End Lr",
            published=("1e-5", "1e-5", "1e-5"),
            key="stage{n}.training.optimisation.end_learning_rate",
        ),
        Setting(
            category="Training",
            parameter="Gradient Accumulation Steps",
            published=("1", "1", "2"),
            key="stage{n}.training.gradient_accumulation",
        ),
        Setting(
            category="Training",
            parameter="Per GPU Batch Size",
            published=("32", "32", "8"),
            key="stage{n}.batch_of_a_gpu",
            note="an eighth of stage.training.batch_size, as on the paper's 8 GPUs",
        ),
        Setting(
            category="Training",
            parameter="Mixed Precision",
            published=("fp16", "fp16", "fp16"),
            key="stage{n}.training.precision",
        ),
        Setting(
            category="Training",
            parameter="Enable TF32",
            published=("True", "True", "True"),
            key="tf32",
        ),
        Setting(
            category="Training",
            parameter="Use EMA",
            published=("True", "True", "True"),
            key="stage{n}.averages",
        ),
        Setting(
            category="Training",
            parameter="Max Train Steps",
            published=("200,000", "800,000", "1,000,000"),
            key="stage{n}.max_steps",
        ),
        Setting(
            category="Training",
            parameter="Max Grad Norm",
            published=("1.0", "1.0", "1.0"),
            key="stage{n}.training.optimisation.max_grad_norm",
        ),
        Setting(
            category="Training",
            parameter="Use Mlmlss",
            published=("True", "True", "True"),
            note="the masked cross-entropy of stages 1 and 2; stage 3 has losses on pixels instead",
        ),
        Setting(
            category="Training",
            parameter="Single Step Generation",
            published=("True", "False", "False"),
            key="stage{n}.single_step",
        ),
        Setting(
            category="Training",
            parameter="Guided Mask",
            published=("False", "True", "True"),
            key="stage{n}.guided",
        ),
    ),
)
