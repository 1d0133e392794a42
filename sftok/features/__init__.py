"""What frozen networks see in images: targets of semantic supervision, and the material of codebooks."""
