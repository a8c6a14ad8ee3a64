"""Every line that runs on a board runs in tests too, on a simulated device."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BOARD_PATH = [
    f"host/{name}.py" for name in ("board", "counters", "diagnosis", "driver", "identity", "measure", "ring")
]
"""The runtime between training and registers; what lies above it is the same for every device."""
TESTS = [
    "test_host_driver.py",
    "test_board_clock.py",
    "test_board_faults.py",
    "test_sim_device.py::test_a_design_without_the_accelerator_is_refused",
    "test_board_training.py::test_measured_times_stand_beside_simulated_ones",
    "test_board_training.py::test_a_wrong_reference_ends_the_run_with_the_clock_it_found",
    "test_board_training.py::test_a_board_without_a_bitstream_says_where_it_looked",
]
RUNNER = """
import dis, json, sys, threading
from pathlib import Path

import pytest

wanted = {str(Path(name).resolve()) for name in json.loads(sys.argv[1])}
ran = {name: set() for name in wanted}


def lines(frame, event, argument):
    ran[frame.f_code.co_filename].add(frame.f_lineno)
    return lines


def calls(frame, event, argument):
    return lines(frame, event, argument) if frame.f_code.co_filename in wanted else None


def executable(code):
    yield from (line for _, line in dis.findlinestarts(code) if line)
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            yield from executable(constant)


sys.settrace(calls)
threading.settrace(calls)
status = pytest.main(["-q", "-p", "no:cacheprovider", *json.loads(sys.argv[2])])
sys.settrace(None)
missed = {}
for name in wanted:
    source = Path(name).read_text(encoding="utf-8")
    code = set(executable(compile(source, name, "exec")))
    bodiless = {number for number, text in enumerate(source.splitlines(), 1) if text.strip() == "..."}
    missed[name] = sorted(code - ran[name] - bodiless)
print(json.dumps([int(status), missed]))
"""


def test_every_line_of_the_board_path_is_executed():
    tests = [str(Path(__file__).parent / name) for name in TESTS]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, json.dumps(BOARD_PATH), json.dumps(tests)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    status, missed = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stdout
    assert {Path(name).name: lines for name, lines in missed.items() if lines} == {}
