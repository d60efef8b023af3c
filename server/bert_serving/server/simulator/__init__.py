"""A simulator of scale: the service's own scheduling objects under a simulated clock, with costs that were measured.

`python -m bert_serving.server.simulator` runs it; nothing else of the server imports it.
"""
