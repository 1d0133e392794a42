"""Carries studies out: several processes share the trials through a journal, and artifacts through the store."""
