"""Class-conditional generators of what tokenizers make of images, one per file, behind `base`."""
