"""Systems that others released: one file each, with its tensors' names, markers and sizes.

A file defines `LAYOUTS`, a tuple of `sftok.checkpoints.layouts.Layout`; it is found by being here.
"""
