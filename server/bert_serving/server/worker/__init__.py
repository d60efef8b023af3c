"""Texts to rows: tokenized, batched, computed and sent to the sink."""
