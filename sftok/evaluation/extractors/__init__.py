"""Feature spaces, one per file: a network, its weights, and a configuration that names it."""
