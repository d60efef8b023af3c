"""The HTTP gateway: JSON of 1.10, the OpenAI API, health, metrics and the dashboard. A process of its own.

It reaches the service as any client does, so nothing else in the server depends on it.
"""
