"""Quantizers, one per file, behind the protocol of `base`."""
