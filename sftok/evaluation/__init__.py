"""Evaluation: feature spaces, metrics, and the protocol that combines them (`protocol.evaluate`)."""
