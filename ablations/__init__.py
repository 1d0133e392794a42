"""Experiments beyond the paper, specified like its tables: as data, one file each."""
