"""The ``cpt`` command line."""
