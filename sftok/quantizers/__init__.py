"""Quantizers, one idea a file, behind the protocol of `base`."""
