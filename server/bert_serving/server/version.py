"""This package's version; the client of the same version belongs to it."""

__version__ = "2.0.0"
