"""The bitstream: Vivado scripts, what they are told about a board, and their check without Vivado."""
