"""From texts to rows: tokenizes, batches, computes, and sends the rows to the sink."""
