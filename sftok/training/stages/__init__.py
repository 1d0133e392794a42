"""Training stages, one per file; none of them depends on the loop."""
