"""What `bert-serving-benchmark` consists of. Nobody but its command imports it.

arguments.py   the options                          figures.py   percentiles, rates and accounting; pure
plan.py        which points are measured; pure      workloads.py the texts and the times of arrival; pure
targets.py     who is measured, and how to ask      server.py    a server of our own, as a process
tokens.py      how many tokens a text has           load.py      threads that ask and look at the clock
runner.py      goes through the plan                results.py   what was measured, as plain data
machine.py     what it was measured on              report.py    Markdown and JSON; plots.py: PNG and SVG
"""
