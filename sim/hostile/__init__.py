"""Hostile programs by seed: the compiled RTL and the fast model must agree, and nothing leaves its window."""
