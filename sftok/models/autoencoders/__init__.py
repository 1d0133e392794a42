"""Autoencoders of pixels: the two networks of a tokenizer without a teacher. One member per file."""
