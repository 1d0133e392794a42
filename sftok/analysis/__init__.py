"""Analyses of a tokenizer's predictions, one per file: each describes the numbers that it measures."""
