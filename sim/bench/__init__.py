"""cocotb benches: every RTL block and the whole accelerator, as exported to Verilog.

``python -m cpt.sim.bench`` builds each block with Verilator and runs its bench with a seed; see
`cpt.sim.bench.runner`. The modules named ``check_<block>`` hold the benches and run inside the simulator.
"""
