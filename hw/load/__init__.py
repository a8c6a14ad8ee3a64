"""LOAD_A and LOAD_B: from memory into the operand buffers."""
