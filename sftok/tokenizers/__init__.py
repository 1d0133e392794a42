"""Complete tokenizers, composed of the package's parts."""
