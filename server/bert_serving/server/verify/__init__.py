"""Verifies a server: compares its vectors of built-in sentences with a reference that it does not compute itself.

`served` asks the server, `reference` computes the same vectors with Hugging Face's library (`hugging_face`) or in
NumPy (`plain_encoder`), `pooling` is what both share, and `comparison` judges.
"""
