"""Checks of a build; each returns its problems, one line each."""
