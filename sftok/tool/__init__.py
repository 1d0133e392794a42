"""The commands of `python -m sftok`: images to token files and back, with any checkpoint."""
