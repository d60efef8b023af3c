"""A simulator of scale: the service's own scheduling objects under a simulated clock, with costs that were measured.

`make scaling` runs it. It is a laboratory: the server does not know of it.
"""
