"""The networks: encoder, decoder, tokenizer and their building blocks."""
