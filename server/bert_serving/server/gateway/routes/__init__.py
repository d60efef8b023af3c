"""The routes, one module a dialect. Each takes a body, asks the backend and writes an answer."""
