"""The frozen teacher, MaskGIT-VQGAN, and the cache of its codes."""
