"""Mask schedules and the one iterative unmasking loop."""
