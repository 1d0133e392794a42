"""The kinds of subjects that `evaluate` can measure, one per file, each with a configuration."""
