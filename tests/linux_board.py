"""Files in place of what a Linux without the PYNQ image shows of a ZC706, for `LinuxDevice`."""

import os
from pathlib import Path

import numpy as np
from driven import MEMORY_BYTES

from cpt.host.linux import BUFFER, FCLK0_GATE, FPGA_MANAGER
from cpt.host.ports import PORT_BYTES, PORTS
from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.handoff import PLL_FEEDBACK, hwh
from cpt.sim.backend import MEMORY_BASE

SLCR, SLCR_BYTES = 0xF800_0000, 0x1000
MANAGER = Path(FPGA_MANAGER)
ATTRIBUTES = Path("sys/class/u-dma-buf") / BUFFER
DEVICE = Path("dev") / BUFFER
DIRT = b"\xa5"
"""What an earlier user left in the buffer."""
WORDS = bytes.fromhex("ffffffff aa995566 20000000")
"""Configuration data as Vivado writes it; the second word starts it."""


def put(path: Path, content: bytes = b"") -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def board(root: Path, buffer_bytes: int = MEMORY_BYTES) -> Path:
    """What a ZC706 shows of itself under ``root``, which is returned."""
    for name, content in (("firmware", b""), ("flags", b""), ("state", b"operating\n")):
        put(root / MANAGER / name, content)
    for name, content in (("phys_addr", b"0x%08x\n" % MEMORY_BASE), ("size", b"%d\n" % buffer_bytes)):
        put(root / ATTRIBUTES / name, content)
    for name in ("sync_for_cpu", "sync_for_device"):
        put(root / ATTRIBUTES / name)
    put(root / DEVICE, DIRT * buffer_bytes)
    put(root / "dev/mem")
    os.truncate(root / "dev/mem", max(PORTS.values()) + PORT_BYTES)
    clocks = bus_words(root, SLCR, SLCR_BYTES)
    clocks[[0x100 // 4, 0x104 // 4, 0x108 // 4]] = PLL_FEEDBACK << 12
    clocks[(FCLK0_GATE - SLCR) // 4] = 1
    for base in PORTS.values():
        bus_words(root, base, PORT_BYTES)[:] = 1  # 32 bits wide
    node = root / "proc/device-tree/amba/slcr@f8000000/clkc@100/ps-clk-frequency"
    put(node, (33_333_333).to_bytes(4, "big"))
    return root


def bus_words(root: Path, base: int, nbytes: int) -> np.memmap:
    """The 32-bit words at bus address ``base`` of a board's file."""
    return np.memmap(root / "dev/mem", np.uint32, "r+", base, (nbytes // 4,))


def bit_file(folder: Path, config: ArrayConfig | None = None, words: bytes = WORDS) -> str:
    """Path of a bit file as Vivado writes it, of the array ``config`` (tiny), its handoff beside it."""
    fields = b"".join(
        key + len(text).to_bytes(2, "big") + text
        for key, text in (
            (b"a", b"design;Version=2020.1\0"),
            (b"b", b"7z045ffg900\0"),
            (b"c", b"-\0"),
            (b"d", b"-\0"),
        )
    )
    path = folder / "cpt.bit"
    put(path, b"\0\x09" + bytes(9) + b"\0\x01" + fields + b"e" + len(words).to_bytes(4, "big") + words)
    path.with_suffix(".hwh").write_text(hwh(config or preset("tiny")), encoding="utf-8")
    return str(path)
