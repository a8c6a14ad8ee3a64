"""cocotb benches: every RTL block and the whole accelerator, as exported to Verilog.

``python -m sim.bench`` builds each block with Verilator and runs its bench with a seed; see
`sim.bench.runner`. The modules named ``check_<block>`` hold the benches and run inside the simulator.
"""
