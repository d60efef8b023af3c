"""Puts rows together, and publishes what is whole to the clients that it belongs to."""
