"""Takes requests in, splits them, hands the parts to workers, and keeps account until each is answered."""
