"""Files of texts to files of vectors, for `bert-serving-encode`.

`tasks` says which files, `locations` where they are; `records` reads; `by_server` or `on_ray` encodes, behind the
contract in `encoding`; `spool` keeps what is done, `outputs` writes the result, and `job` does these in turn.
"""
