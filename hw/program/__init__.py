"""Lists of instructions on their way to the engines, and what engines wait for."""
