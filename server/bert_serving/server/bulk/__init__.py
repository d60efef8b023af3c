"""Files of texts to files of vectors, for `bert-serving-encode`.

`tasks` lists the files, and `locations` finds them; `records` reads them; `by_server` or `on_ray` encodes, behind the
contract in `encoding`; `spool` keeps finished vectors, `outputs` writes the result, and `job` runs these in turn.
"""
