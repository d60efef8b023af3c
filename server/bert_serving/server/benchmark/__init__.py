"""What `bert-serving-benchmark` consists of. Only its command imports it.

arguments.py   the options                            figures.py    percentiles, rates and accounting; pure
plan.py        which points are measured; pure        workloads.py  the texts and the times of arrival; pure
runner.py      runs the plan                          results.py    what was measured, as plain data
measurement.py one point, from load to figures        load.py       threads that ask and look at the clock
targets.py     running servers, and how to ask them   server.py     a server started as a process
tokens.py      how many tokens a text has             machine.py    the machine that was measured
report.py      Markdown and JSON; pure                plots.py      PNG and SVG
progress.py    lines and a bar for the terminal
"""
