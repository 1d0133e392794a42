from __future__ import annotations

import pytest
import small_models

from sftok.models.tokenizer import SFTok
from sftok.teacher.vqgan import MaskGITVQGAN


@pytest.fixture
def tokenizer() -> SFTok:
    """2 tokens and 16 codes an image, both of 8 kinds."""
    return SFTok.from_config(small_models.smaller_sftok_config()).eval()


@pytest.fixture
def teacher() -> MaskGITVQGAN:
    return MaskGITVQGAN(small_models.smaller_sftok_config().pixel_decoder, 8)
