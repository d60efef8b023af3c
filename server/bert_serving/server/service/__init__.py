"""Starts, watches, restarts and stops all other processes. It never talks to clients."""
