"""Mask schedules, and the iterative unmasking loop."""
