"""What `evaluate` can measure, a kind per file: a configuration that opens it."""
