"""This package's version, which is also the version of the client that it needs."""

__version__ = "2.0.0"
