"""Texts to features to vectors. Knows nothing about sockets; `contract.py` is its interface."""
