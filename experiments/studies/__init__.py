"""Studies, whose processes share trials through a journal and artifacts through the store."""
