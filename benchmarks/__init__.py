"""How fast, how accurate and how large the product is, beside plain references.

    python -m benchmarks [--quick] [--output bench-output] [NAME ...]

Every comparison runs the product and its reference in turn, round by round on the same machine, and
reports the median of the ratios of a round with their quartiles: what else the machine does then
touches both sides alike. Each benchmark prints a table and writes OUTPUT/NAME.json with the
machine, the settings and the raw numbers.
"""
