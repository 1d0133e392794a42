"""Autoencoders of pixels: the two networks of a tokenizer that has no teacher. One member per file."""
