"""Accepts requests, splits them, hands the parts to workers, and tracks each request until it is answered."""
