"""What is known: the store's artifacts as rows, numbers by name, and the verdicts on the claims."""
