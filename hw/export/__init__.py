"""Verilog: ``python -m cpt.hw.export --preset tiny -o DIR``."""

from cpt.hw.export.verilog import accelerator_verilog, export, export_block, unit_verilog

__all__ = ["accelerator_verilog", "export", "export_block", "unit_verilog"]
