"""A plan becomes finished artifacts: by one process, or by several on one store."""
