"""What the benchmarks of a whole installation are made of: a client that costs little, checks, processes, tables.

Nothing in here knows Django, so that any checkout can be measured from outside.
"""
