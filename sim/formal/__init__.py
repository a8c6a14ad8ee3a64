"""Proofs of blocks by an open solver: what is assumed and demanded of each, and the engine that closes it."""
