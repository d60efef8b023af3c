"""The commands, one module each. Nobody imports them."""
