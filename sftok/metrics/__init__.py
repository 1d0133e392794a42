"""Metrics, one per file: each describes itself, and a profile names those that are measured."""
