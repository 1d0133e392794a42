"""The networks: encoder, decoder, tokenizer and what they are made of."""
