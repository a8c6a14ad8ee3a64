"""Opening the accelerator a command names: fast model, compiled RTL or board."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cpt.extras import missing
from cpt.hw.contract import ContractError
from cpt.hw.contract import preset as preset_of
from cpt.hw.contract.config import STEP

if TYPE_CHECKING:
    from cpt.host.driver import Accelerator

SIMULATED = ("fast", "rtl")
DEVICES = (*SIMULATED, "board")
TORCH_DEVICES = ("cpu", "cuda")
"""Training in torch."""
RTL_DEADLINE_S = 1800.0
"""Longest one program may take on the compiled RTL."""
_OPENING = threading.Lock()
"""pynq keeps global state while an overlay is loaded, so devices are opened one at a time."""


OLD_NAMES = {"model": "fast"}
"""What devices were called in earlier versions; still understood."""


def device_name(text: str) -> str:
    """The name of the device that ``text`` means, for argparse."""
    return OLD_NAMES.get(text, text)


def check_device(name: str, allowed: tuple[str, ...] = DEVICES) -> None:
    """Raise `ContractError` unless ``name`` is one of ``allowed``."""
    if name not in allowed:
        raise ContractError(f"device is {name!r}; allowed: {', '.join(allowed)}")


def check_options(arguments: argparse.Namespace, devices: Mapping[str, Sequence[str]]) -> None:
    """Raise `ContractError` if an option was given that ``arguments.device`` has no use for.

    ``devices``: those that have, by the option's name in ``arguments``, where None stands for "not given".
    """
    for name, allowed in devices.items():
        if getattr(arguments, name) is not None and arguments.device not in allowed:
            raise ContractError(
                f"--{name.replace('_', '-')} is given for device {arguments.device!r}; "
                f"allowed: {', '.join(allowed)}"
            )


@contextmanager
def open_accelerator(
    name: str, preset: str, memory: str, bitfile: str | None = None
) -> Iterator[Accelerator]:
    """The accelerator ``name``, closed at the end.

    Args:
        name: one of `DEVICES`.
        preset, memory: array shape and memory model of a simulated one.
        bitfile: the board's bitstream.

    Raises `ContractError` or `cpt.host.errors.DeviceError` in one line.
    """
    from cpt.host.driver import DEADLINE_S, Accelerator, open_board
    from cpt.host.errors import DeviceError

    check_device(name)
    if name == "board":
        with open_board(bitfile) as accelerator:
            yield accelerator
        return
    from cpt.sim.device import open_simulated
    from cpt.sim.tool import BuildError

    try:
        with _OPENING:
            device = open_simulated(name, preset_of(preset, STEP), memory)
    except ModuleNotFoundError as error:
        raise DeviceError(f"device {name!r}: {missing(error)}") from None
    except (BuildError, ImportError) as error:
        lines = str(error).splitlines()
        raise DeviceError(f"device {name!r} cannot be built: {lines[0]}") from None
    except OSError as error:
        raise DeviceError(f"device {name!r} cannot write its files: {error.strerror or error}") from None
    try:
        deadline_s = RTL_DEADLINE_S if name == "rtl" else DEADLINE_S
        with _OPENING:
            accelerator = Accelerator(device.bitfile, device, deadline_s=deadline_s)
        with accelerator:
            yield accelerator
    finally:
        device.close()
