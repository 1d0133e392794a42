"""A frozen codebook of clustered features (VQGAN-LC), with equally many k-means centers per class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.classifier import Classifier
from experiments.artifacts.context import MODEL, Context
from experiments.pixel_recipe import CodebookRecipe
from experiments.recipe import Recipe
from sftok.config import ConfigError
from sftok.features.base import FeaturesConfig

if TYPE_CHECKING:
    from torch import Tensor

    from sftok.data.base import ImageSet
    from sftok.features.base import Features

CODES = "codes"
"""Name of the codebook tensor `[V, F]`."""

BATCH_SIZE = 100


class Codebook(Artifact, kind="codebook"):
    """K-means centers of the patch features of training images, class by class."""

    features: FeaturesConfig
    codebook_size: int
    images_per_class: int
    seed: int
    classifier: Classifier | None = None

    @classmethod
    def plan(cls, recipe: Recipe, own: CodebookRecipe, data: Mapping[str, str]) -> Codebook:
        """The codebook of a recipe whose pixel tokenizer needs one.

        Raises:
            ConfigError: the quantizer expects features with another number of channels.
        """
        found = own.features.channels(recipe.classifier.channels)
        wanted = recipe.pixels.quantizer.source_dim  # type: ignore[attr-defined]  # of a `projected` one
        if found not in (None, wanted):
            raise ConfigError(
                f"pixels.quantizer.source_dim = {wanted}: features of {own.features.reference!r} have "
                f"{found} channels; set it to {found}"
            )
        return cls.planned(
            recipe,
            data,
            "codebook of features",
            codebook_size=recipe.pixels.quantizer.codebook_size,
            classifier=Classifier.plan(recipe, data) if own.features.in_domain else None,
            **dict(own),
        )

    def make(self, context: Context) -> dict[str, Any]:
        """Cluster the features.

        Raises:
            ConfigError: the codebook size is not a multiple of the number of classes.
        """
        import torch

        from sftok.io.weights import content_hash, save_tensors

        images = context.load_data("train")
        per_class, rest = divmod(self.codebook_size, images.num_classes)
        if rest or not per_class:
            raise ConfigError(
                f"pixels.quantizer.codebook_size = {self.codebook_size}: must be a multiple of "
                f"{images.num_classes}, the number of classes of {images.name}, which have equally many codes"
            )
        features = open_features(context, self.features, self.classifier)
        centers = []
        for label, patches in enumerate(self._patches(context, features, images)):
            centers.append(self._centers(patches, per_class))
            context.report((label + 1) / images.num_classes)
        codes = torch.cat(centers)
        return {
            "weights": save_tensors(context.folder / MODEL, {CODES: codes}, {}),
            "codes": len(codes),
            "network": content_hash(features.network.module.state_dict()),
        }

    def _patches(self, context: Context, features: Features, images: ImageSet) -> Iterator[Tensor]:
        """Yield, class by class, the patch features of its first images, `[n, F]`."""
        import torch

        device = context.open_device(self)
        labels = images.labels(torch.arange(len(images)))
        for label in range(images.num_classes):
            chosen = (labels == label).nonzero().flatten()[: self.images_per_class]
            yield torch.cat(
                [
                    features.patches(images.images(part).to(device) / 255).flatten(0, 1).float().cpu()
                    for part in chosen.split(BATCH_SIZE)
                ]
            )

    def _centers(self, patches: Tensor, count: int) -> Tensor:
        import torch
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        # With several threads, the order of summation changes from run to run.
        with threadpool_limits(1):
            found = KMeans(count, n_init=1, random_state=self.seed).fit(patches.numpy())
        return torch.from_numpy(found.cluster_centers_).float()


def open_features(context: Context, wanted: FeaturesConfig, classifier: Classifier | None) -> Features:
    """Build the feature extractor; the weights of the in-domain classifier come from its artifact."""
    return wanted.build(context.folder_of(classifier) / MODEL if classifier is not None else None)
