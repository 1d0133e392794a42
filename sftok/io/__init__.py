"""Files: atomic writes, tensors with checksums, arrays, published weights."""
