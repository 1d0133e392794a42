"""Studies: processes share the trials through a journal, and the artifacts through the store."""
