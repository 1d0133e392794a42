"""torch-fidelity's Inception v3, the network of published FID; its weights must be in torch's hub cache."""

from __future__ import annotations

from pathlib import Path

import torch

from sftok.evaluation.extractors.base import GPU_CHUNK, Extractor, ExtractorConfig, file_hash, reading


class InceptionV3Config(ExtractorConfig, name="inception-v3-compat"):
    """Pooled features and logits without bias, as in the original TensorFlow network."""

    def build(self, device: torch.device | str = "cpu", weights: Path | None = None) -> Extractor:
        """Build the feature space.

        Raises:
            EvaluationError: the weights are missing or damaged, or belong to another network.
        """
        # Imported here because torch-fidelity takes time to load, and planning does not need it.
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

        path = weights or Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name
        with reading(self.label, path, f"fetch {URL_INCEPTION_V3} and put it there, or name its path"):
            # torch-fidelity would unpickle anything; this check only accepts files of tensors.
            torch.load(path, map_location="cpu", weights_only=True)
            network = FeatureExtractorInceptionV3(
                self.label,
                ["2048", "logits_unbiased"],
                feature_extractor_weights_path=str(path),
                verbose=False,
            )
        device = torch.device(device)
        chunk = GPU_CHUNK if device.type != "cpu" else 8
        return Extractor(self.label, file_hash(path), network.to(device), chunk, device)
