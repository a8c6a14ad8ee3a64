"""Channel arithmetic: vectors of float32 and integers in local memory."""
