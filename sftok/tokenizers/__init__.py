"""Tokenizers put together from parts."""
