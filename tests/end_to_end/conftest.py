"""Lets a process that a test starts import what it calls by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
