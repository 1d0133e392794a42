"""Contexts: the codes shown at visible positions in stage 2, one choice per file."""
