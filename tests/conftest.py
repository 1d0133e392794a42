"""Settings for all tests: hypothesis draws the same examples every time, and no test depends on a clock."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # for `tiny`

settings.register_profile("sftok", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("sftok")
