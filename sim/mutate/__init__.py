"""Mutants of ``hw``: small faults in the Amaranth source, each of which some unit test should notice."""
