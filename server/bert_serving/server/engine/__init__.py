"""Texts to features to vectors. Knows nothing of sockets; `contract.py` says what the rest may ask of it."""
