from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_models
from PIL import Image

from sftok.models.maskgit_vqgan import MaskGITVQGAN
from sftok.tokenizers.sftok import SFTok


@pytest.fixture
def tokenizer() -> SFTok:
    return SFTok.from_config(small_models.sftok_config(depth=2), small_models.seeded(1)).eval()


@pytest.fixture
def checkpoint(tokenizer: SFTok, tmp_path: Path) -> str:
    return str(tokenizer.save_pretrained(tmp_path / "sftok"))


@pytest.fixture
def teacher(tmp_path: Path) -> str:
    return str(MaskGITVQGAN.from_config(small_models.TEACHER).save_pretrained(tmp_path / "teacher"))


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., str]:
    """Writes an image of random colors and returns its path."""
    colors = np.random.default_rng(0)

    def write(name: str, width: int = 20, height: int = 24) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colors.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
        return str(path)

    return write


@pytest.fixture
def photos(draw: Callable[..., str], tmp_path: Path) -> str:
    """A folder with seven images of several sizes, some deeper, and other things."""
    for place in range(4):
        draw(f"photos/{place}.png", width=16 + 9 * place, height=40 - 8 * place)
    for place in range(3):
        draw(f"photos/deeper/{place}.bmp", width=17 + place)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    (tmp_path / "photos" / ".hidden.png").write_text("no image")
    return str(tmp_path / "photos")
