"""``cpt doctor``: what it finds on a healthy device, and the one line for a sick one."""

import json

import pytest

from cpt.hw.contract import CONTRACT_HASH
from cpt.main import main
from cpt.sim.fast.backend import FastBackend


def test_a_healthy_model_passes_every_check(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["contract"] == f"{CONTRACT_HASH:016x}"
    assert found["array"] == "tiny: 4 x 36 x 8"
    assert found["fabric clock"] == "200 MHz"
    assert found["product 16 x 16 bits"] == "5 x 9 x 113, all 45 results exact"
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
    """Every bit of device memory that the machine wrote last is flipped once."""
    real = FastBackend.read_register

    def flipping(self, offset):
        value = real(self, offset)
        if offset == 0x50:  # DONE_TAG, read when a program has ended
            self.memory[:] ^= 1
        return value

    monkeypatch.setattr(FastBackend, "read_register", flipping)
    assert main(["doctor"]) == 2
    assert "results of 5x9x113/s0s1 at 1 x 1 bits are wrong" in capsys.readouterr().err


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
