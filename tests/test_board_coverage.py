"""Every line that runs on a board runs in tests: on the compiled RTL, but for a few that need no machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("coverage", reason="comes with the extra dev")

ROOT = Path(__file__).parent.parent
BOARD_PATH = [
    f"cpt/host/{name}.py"
    for name in (
        "board",
        "caches",
        "contiguous",
        "counters",
        "diagnosis",
        "driver",
        "identity",
        "linux",
        "measure",
        "pages",
        "ports",
        "ring",
    )
]
"""The runtime between training and registers; what lies above it is the same for every device."""
TESTS = [
    "test_host_driver.py",
    "test_host_driver_opening.py",
    "test_host_driver_recovery.py",
    "test_host_driver_rtl.py",
    "test_host_linux.py",
    "test_host_ports.py",
    "test_host_caches.py",
    "test_board_clock.py",
    "test_board_faults.py",
    "test_board_training.py::test_measured_times_stand_beside_simulated_ones",
    "test_board_training.py::test_a_wrong_reference_ends_the_run_with_the_clock_it_found",
    "test_board_training.py::test_a_board_without_a_bitstream_says_where_it_looked",
]
RUNNER = """
import dis, json, sys
from pathlib import Path

import coverage
import pytest

wanted = [Path(name).resolve() for name in json.loads(sys.argv[1])]
tracer = coverage.Coverage(data_file=None, config_file=False, include=[str(path) for path in wanted])


def executable(code):
    yield from (line for _, line in dis.findlinestarts(code) if line)
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            yield from executable(constant)


def missed():
    for path in sorted(wanted):
        source = path.read_text(encoding="utf-8").splitlines()
        code = set(executable(compile("\\n".join(source), path.name, "exec")))
        for number in sorted(code - set(tracer.get_data().lines(str(path)) or ())):
            if source[number - 1].strip() != "...":
                yield f"{path.stem}: {source[number - 1].strip()[:60]}"


def run(which):
    tracer.start()
    status = pytest.main(["-q", "-p", "no:cacheprovider", "-k", which, *json.loads(sys.argv[2])])
    tracer.stop()
    return int(status), list(missed())


print(json.dumps([run("rtl"), run("not rtl and not fast")]))
"""


NOT_ON_THE_RTL = [
    'board: raise DeviceError(f"the handoff names no {name}; build it wi',
    "board: except (TypeError, ValueError):",
    "board: value = math.nan",
    "board: raise DeviceError(",
    'board: f"{name} of the handoff is {parameters[name]!r}; allowed: MH',
    'board: f"{CLOCKS_MHZ[1]:g}"',
    "caches: first, size = lines(int(buffer.offset), buffer.nbytes)",
    "caches: buffer.bo.sync(getattr(sys.modules[_XRT].xclBOSyncDirection,",
    "caches: return True",
    "contiguous: break",
    'diagnosis: return ""',
    "linux: except OSError as error:",
    'linux: raise DeviceError(f"{self.attributes / attribute} cannot be ',
    "linux: except OSError as error:",
    'linux: raise DeviceError(f"{path} cannot be mapped: {_reason(error)',
    "linux: except OSError as error:",
    'linux: raise DeviceError(f"{path} cannot be written: {_reason(error',
    "linux: return f\"{error.strerror}{'; run as root' if isinstance(erro",
]
"""Errors of files and handoffs, XRT's caches, a gap between buffers: tests without a machine run these."""


@pytest.mark.full
@pytest.mark.timeout(1800)  # every line of the runtime is traced, on compiled RTL
def test_every_line_of_the_board_path_is_executed_on_the_rtl():
    tests = [str(Path(__file__).parent / name) for name in TESTS]
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, json.dumps(BOARD_PATH), json.dumps(tests)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1700,
    )
    rtl, everything = json.loads(done.stdout.splitlines()[-1])
    assert rtl == [0, NOT_ON_THE_RTL], done.stdout
    assert everything == [0, []], done.stdout
