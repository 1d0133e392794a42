"""A tokenizer trained by its authors: the weights are converted to this package's names, not trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments.artifacts.base import Artifact
from experiments.artifacts.context import MODEL, Context
from experiments.artifacts.tokenizer import TokenizerArtifact
from experiments.recipe import Recipe
from experiments.specs import Row
from sftok.config import ConfigError

if TYPE_CHECKING:
    from sftok.tokenizers.hub import Tokenizer


class Released(TokenizerArtifact, kind="released"):
    """A tokenizer read from a file, of any of the package's architectures."""

    not_in_key = Artifact.not_in_key | {"origin"}

    origin: str
    """Location of the file; not in the key, so the file may move."""
    content: str
    """Hash of the weights and the configuration."""
    tokens: int
    codes: int

    @classmethod
    def plan(cls, row: Row, recipe: Recipe) -> Released:
        """The tokenizer of a row whose weights were found.

        Raises:
            ConfigError: its image size is not the recipe's, or the recipe asks for a share of its ids.
        """
        found = row.found
        assert found is not None
        if found.image_size != recipe.data.image_size:
            raise ConfigError(
                f"{found.path}: takes {found.image_size}x{found.image_size} images; data.image_size is "
                f"{recipe.data.image_size}"
            )
        if recipe.evaluation.kept_share < 1:
            raise ConfigError(f"{row.name}: released weights are decoded from all ids; leave kept_share at 1")
        return cls(
            label=f"released weights of {row.name}",
            device=recipe.device,
            tf32=recipe.tf32,
            origin=found.path,
            content=found.content,
            tokens=found.num_tokens,
            codes=found.vocabulary,
        )

    @property
    def num_tokens(self) -> int:
        """Number of ids per image."""
        return self.tokens

    @property
    def vocabulary(self) -> int:
        """Number of different ids."""
        return self.codes

    def open(self, context: Context, kept_tokens: int | None = None) -> Tokenizer:
        """Load the tokenizer, frozen; it is always decoded from all ids."""
        from sftok.tokenizers.hub import open_tokenizer

        return open_tokenizer(context.folder_of(self) / MODEL).requires_grad_(False)

    def make(self, context: Context) -> dict[str, Any]:
        """Copy the weights under this package's names.

        Raises:
            CheckpointError: the weights have changed since the run was planned.
        """
        return copy_weights(context, self.origin, self.content)


def copy_weights(context: Context, origin: str, content: str) -> dict[str, Any]:
    """Copy the weights at `origin`, whose identity must be `content`, into the artifact's folder.

    Raises:
        CheckpointError: the weights have changed, or can no longer be read.
    """
    from sftok.checkpoints import CheckpointError
    from sftok.tokenizers.hub import identity, open_tokenizer

    if not context.world.is_first:
        return {}
    network = open_tokenizer(origin)
    if identity(network) != content:
        raise CheckpointError(f"{origin}: the weights have changed since the run was planned; start it again")
    return {"weights": network.save_weights(context.folder / MODEL)}
