"""Starts, watches, restarts and stops all other processes. It speaks to no stranger."""
