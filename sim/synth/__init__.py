"""Open synthesis for 7-series parts: what a preset takes, and whether its netlist keeps the timing rule."""
