"""Systems released by others, one file each, with their tensors' names, markers and sizes.

A file defines `LAYOUTS`, a tuple of `sftok.checkpoints.layouts.Layout`, and is discovered automatically.
"""
