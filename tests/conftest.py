"""Settings for all tests: hypothesis draws the same examples every time, and no test depends on a clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("sftok", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("sftok")
