"""The paper's argument, measured: what each decoding step knows, and what a context is worth."""
