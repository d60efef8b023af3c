"""Verifies a server: vectors of built-in sentences, as it sends them, against a reference that it does not compute.

`served` starts the server and asks it, `reference` computes the same vectors by Hugging Face's library
(`hugging_face`) or in NumPy (`plain_encoder`), `pooling` is what both have in common, and `comparison` judges.
"""
