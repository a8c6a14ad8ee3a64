"""Simulated devices: the compiled RTL and the fast exact model behind one pynq device."""
