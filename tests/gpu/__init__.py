"""`make gpu`: what needs a GPU, measured and written as one table."""
