"""Verilog: ``python -m cpt.hw.export --preset tiny -o DIR``."""

from cpt.hw.export.verilog import accelerator_verilog, dot_product_verilog, export, export_block

__all__ = ["accelerator_verilog", "dot_product_verilog", "export", "export_block"]
