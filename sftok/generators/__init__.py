"""Class-conditional generators of a tokenizer's ids or latents, one per file, behind `base`."""
