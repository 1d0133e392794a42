"""Features of images from frozen networks: targets of semantic supervision, and sources of codebooks."""
