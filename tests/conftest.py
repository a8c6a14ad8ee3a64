"""Fixtures that several test files share."""

from functools import partial

import pytest


@pytest.fixture
def one_thread():
    """One torch thread, so that sums do not depend on the machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["fast", "rtl"])
def simulated(request):
    """Makes a machine of each kind: what asks for it runs on the fast model and on the compiled RTL."""
    from driven import backend

    return partial(backend, request.param)


@pytest.fixture
def refusal(tmp_path, capsys):
    """The line with which ``train(*options, out=tmp_path)`` refuses; it returns 2 and writes nothing."""

    def of(train, options):
        try:
            status = train(*options, out=tmp_path)
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        assert status == 2
        assert captured.err.count("\n") == 1
        assert captured.err.startswith("cpt train: ")
        assert not list(tmp_path.rglob("*.*"))
        return captured.err

    return of


SLOW = {
    # compiled or simulated hardware, at length
    "test_hw_export",
    "test_sim_bench_blocks",
    "test_cpt_compare",
    "test_sim_fast_cycles",
    "test_sim_fast_odd_programs",
    "test_sim_hostile",
    "test_sim_faults",
    "test_sim_formal",
    "test_sim_mutate",
    "test_sim_rtl_harness",
    "test_sim_rtl_regression",
    "test_sim_unit_equality",
    "test_sim_unit_proof",
    "test_step_device",
    "test_step_hostile",
    "test_step_rtl",
    "test_vivado_check",
    "test_sim_synth_lut_sites",
    "test_vivado_scripts",
    # installations and child processes
    "test_board_coverage",
    "test_board_package",
    "test_board_training",
    "test_cpt_wheel",
    # pipelines in Amaranth's simulator, thousands of numbers each
    "test_hw_channel_adder",
    "test_hw_channel_engine",
    "test_hw_channel_memories",
    "test_hw_channel_programs",
    "test_hw_channel_units",
    "test_hw_move_engine",
    "test_hw_move_pack",
    "test_hw_vector_packer",
    # training, more than a few steps
    "test_cpt_results",
    "test_golden_fabric_step",
    "test_cpt_torch_train",
    "test_cpt_train",
    "test_model_accelerator",
    "test_model_landscape",
    "test_model_training_distributed",
    "test_model_training_range_test",
    "test_model_training_resume",
    "test_model_training_trainer",
}
"""Files that are slow as a whole; a single slow test carries the marker itself."""
RTL = {
    "test_cpt_check",
    "test_host_driver",
    "test_host_driver_opening",
    "test_host_driver_recovery",
    "test_host_driver_rtl",
    "test_hw_export",
    "test_sim_bench_blocks",
    "test_sim_fast_cycles",
    "test_sim_fast_odd_programs",
    "test_sim_hostile",
    "test_sim_faults",
    "test_sim_rtl_harness",
    "test_sim_rtl_regression",
    "test_sim_unit_equality",
    "test_step_device",
    "test_step_hostile",
    "test_step_rtl",
}
"""Files that compile Verilog: without a C++ compiler, ``pytest -m "not rtl"``."""


LONG = (
    "test_step_rtl",
    "test_board_coverage",
    "test_sim_bench_blocks",
    "test_hw_vector_lanes",
    "test_board_training",
    "test_model_training_distributed",
    "test_vivado_check",
    "test_sim_synth_rule",
    "test_hw_program_runner",
    "test_model_quantize",
    "test_contract_hash",
    "test_step_parts",
    "test_step_local_memory",
    "test_sim_faults",
    "test_sim_mutate",
    "test_sim_formal",
)
"""Files of half a minute or more, the longest first: one that began last would keep one processor waiting."""


def pytest_collection_modifyitems(items):
    """The markers of whole files, and the long ones first."""
    order = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker(pytest.mark.slow)
        if item.path.stem in RTL:
            item.add_marker(pytest.mark.rtl)
