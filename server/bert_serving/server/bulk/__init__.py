"""Files of texts to files of vectors, for `bert-serving-encode`: `records` reads, `encoding` asks a server, `spool`
keeps what is done, `outputs` writes the result."""
