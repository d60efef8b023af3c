"""`make images`: builds every image of docker/ and runs it. No tests: it takes minutes and gigabytes."""
