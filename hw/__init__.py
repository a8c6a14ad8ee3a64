"""The accelerator in Amaranth; ``hw.contract`` describes it as plain data."""
