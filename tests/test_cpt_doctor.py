"""``cpt doctor``: what it finds on a healthy device, and the one line for a sick one."""

import json
import re

import pytest

from cpt.host.step_device import StepDevice
from cpt.hw.contract import CONTRACT_HASH
from cpt.main import main


def test_a_healthy_model_passes_every_check(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["contract"] == f"{CONTRACT_HASH:016x}"
    assert found["array"] == "tiny: 4 x 36 x 8"
    assert found["fabric clock"] == "200 MHz"
    assert found["step at 16 x 16 bits"] == "ResNet-8, 4 images, all 10,468 numbers exact"
    assert "clocks" not in found


def test_findings_are_printed_as_they_are_made(capsys):
    assert main(["doctor", "--preset", "z7020"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("ok  ", "--  ", " " * 25)) and len(line) <= 80 for line in lines)
    assert {line.split()[1] for line in lines if line[0] != " "} > {
        "torch",
        "matplotlib",
        "verilator",
        "Vivado",
    }
    assert any(line.split() == ["ok", "fabric", "clock", "100", "MHz"] for line in lines)


def test_a_wrong_result_is_counted(capsys, monkeypatch):
    """A bit of every tenth number that the host reads is not what the machine wrote."""
    real = StepDevice.read

    def flipping(self, address, size):
        found = real(self, address, size)
        found[::40] ^= 1
        return found

    monkeypatch.setattr(StepDevice, "read", flipping)
    assert main(["doctor"]) == 2
    found = re.search(
        r"cpt doctor: (\d+) of 10468 numbers are wrong after a step at 2 x 4 bits", capsys.readouterr().err
    )
    assert int(found[1]) > 1000


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--device", "abacus"], "device is 'abacus'; allowed: fast, rtl, board"),
        (["--preset", "huge"], "preset is 'huge'; allowed: zc706"),
        (["--device", "board"], "no board: this machine has no FPGA"),
    ],
)
def test_wrong_options_are_one_line(options, expected, capsys):
    assert main(["doctor", *options]) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.count("\n") == 1
