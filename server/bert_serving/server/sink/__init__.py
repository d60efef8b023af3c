"""Assembles rows, and publishes complete answers to the clients that they belong to."""
