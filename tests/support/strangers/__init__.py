"""What strangers do to the service, one attack a function, and what it costs a good client meanwhile.

`catalogue.ATTACKS` has them all by name. `trial` runs one against a `service`, beside `good_client`s, and judges;
`attacker` is the process that an attack runs in. For `attacks.py` and `test_attacks.py` in `tests/slow/chaos`.
Every attack is bounded in bytes, connections and seconds, talks to this machine alone, and ends by itself.
"""
