"""The accelerator in Amaranth; ``cpt.hw.contract`` describes it as plain data."""
