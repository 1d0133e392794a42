"""Evaluation: feature spaces, metrics, and the protocol that puts them together (`protocol.evaluate`)."""
