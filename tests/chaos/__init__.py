"""Chaos: two operators, random operations and faults on real swarms, and an independent oracle.

``python -m tests.chaos --minutes 10 --seed 7``, or ``make chaos MINUTES=10 SEED=7``. Each round
draws operations and faults from the seed, lets both operators work while the faults strike, heals
what was broken, has every unfinished run resumed, rolled back or given up, and then compares what
opskit said with what the docker CLI and plain files show. Read `story` for what is done, `faults`
for what befalls it, `oracle` for what must hold.
"""
