"""Cycles of the step machine's engines, one file for each, by the rules of their RTL."""
