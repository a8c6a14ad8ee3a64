"""Compiled passes over memory for quantisers on a CPU, made where a C compiler is; torch does it elsewhere.

The library is compiled once into the user's cache, by the first quantiser that runs. ``CPT_NATIVE=0`` in the
environment turns it off. Results are the same to the bit (tests/test_model_native.py).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from cpt.model.noise import FRACTION_BITS, GOLDEN, MULTIPLIERS, SHIFTS

SWITCH = "CPT_NATIVE"
SOURCE = Path(__file__).with_name("kernels.c")
_COMPILERS = ("cc", "gcc", "clang")
_SECONDS = 60
"""Until a compiler is given up."""
_CONSTANTS = {
    "GOLDEN": f"{GOLDEN}u",
    **{name: f"{factor}u" for name, factor in zip(("FIRST", "SECOND"), MULTIPLIERS, strict=True)},
    **{f"SHIFT_{number}": f"{shift}" for number, shift in enumerate(SHIFTS)},
    "FRACTION_BITS": f"{FRACTION_BITS}",
}
_FLAGS = ("-O3", "-shared", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math")
_OF_CAPABILITY = {
    "AVX2": ("-mavx2",),
    "AVX512": ("-mavx2", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"),
}
"""Instructions by what torch says of the processor."""
_PARALLEL = (("-fopenmp",), ())
"""Tried in turn: some compilers come without OpenMP."""


class Kernels:
    """The compiled library. Tensors are float32 and dense, in the order of memory, at least one element."""

    def __init__(self, path: Path) -> None:
        library = ctypes.CDLL(str(path))
        pointer, count, number, word = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_uint32
        for name, kinds in {
            "cpt_nearest": (pointer, pointer, count, *[number] * 4, ctypes.c_int),
            "cpt_coded": (pointer, pointer, pointer, count, *[number] * 4, ctypes.c_int),
            "cpt_values": (pointer, pointer, count, number, number, ctypes.c_int),
            "cpt_relu": (pointer, pointer, count, ctypes.c_int),
            "cpt_relu_backward": (pointer, pointer, pointer, count, ctypes.c_int),
            "cpt_stochastic": (pointer, pointer, count, *[number] * 4, word, word, ctypes.c_int),
        }.items():
            function = getattr(library, name)
            function.argtypes, function.restype = kinds, None
        self._library = library

    def fake_quantise(
        self, x: Tensor, lo: float, hi: float, top: float, floor: float, noise: tuple[int, int] | None = None
    ) -> Tensor:
        """``code*scale + lo``, codes 0..top to nearest; ``scale`` is ``(hi - lo)/top``, at least ``floor``.

        ``noise``: key and number of the first element, for stochastic rounding.
        """
        out = torch.empty_like(x)
        arguments = x.data_ptr(), out.data_ptr(), x.numel(), lo, hi, top, floor
        if noise is None:
            self._library.cpt_nearest(*arguments, torch.get_num_threads())
        else:
            key, first = noise
            words = key % 2**32, first % 2**32
            self._library.cpt_stochastic(*arguments, *words, torch.get_num_threads())
        return out

    def coded(self, x: Tensor, lo: float, hi: float, top: float, floor: float) -> tuple[Tensor, Tensor]:
        """`fake_quantise` to nearest, and the codes, uint8; ``top`` is at most 255."""
        out, codes = torch.empty_like(x), torch.empty_like(x, dtype=torch.uint8)
        pointers = x.data_ptr(), out.data_ptr(), codes.data_ptr()
        self._library.cpt_coded(*pointers, x.numel(), lo, hi, top, floor, torch.get_num_threads())
        return out, codes

    def values(self, codes: Tensor, lo: float, scale: float) -> Tensor:
        """``code*scale + lo`` of codes of a byte."""
        out = torch.empty_like(codes, dtype=torch.float32)
        pointers = codes.data_ptr(), out.data_ptr()
        self._library.cpt_values(*pointers, codes.numel(), lo, scale, torch.get_num_threads())
        return out

    def relu_(self, x: Tensor) -> Tensor:
        """ReLU in place; gives bytes, 1 where the gradient passes: above 0, or no number."""
        passes = torch.empty_like(x, dtype=torch.uint8)
        self._library.cpt_relu(x.data_ptr(), passes.data_ptr(), x.numel(), torch.get_num_threads())
        return passes

    def relu_backward(self, gradient: Tensor, passes: Tensor) -> Tensor:
        """The gradient where it passes, else 0; both in the same order of memory."""
        out = torch.empty_like(gradient)
        pointers = gradient.data_ptr(), passes.data_ptr(), out.data_ptr()
        self._library.cpt_relu_backward(*pointers, gradient.numel(), torch.get_num_threads())
        return out


def kernels_for(x: Tensor) -> Kernels | None:
    """The library, if there is one and it takes ``x``: float32, or codes of a byte."""
    if torch.compiler.is_compiling() or type(x) not in _KINDS:
        return None
    if x.dtype not in _TYPES or x.device.type != "cpu" or not _dense(x):
        return None
    if torch._C._are_functorch_transforms_active():
        return None
    return kernels()


_TYPES = (torch.float32, torch.uint8)
_KINDS = (Tensor, nn.Parameter)
"""Subclasses of tensors may have no memory, as those of a trace."""


def _dense(x: Tensor) -> bool:
    """Whether the elements fill a stretch of memory, in C order or with channels last."""
    return x.is_contiguous() or (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last))


@functools.cache
def kernels() -> Kernels | None:
    """The library, compiled if need be; None where it is turned off or cannot be made."""
    if os.environ.get(SWITCH) == "0":
        return None
    compiler = next((path for path in map(shutil.which, _COMPILERS) if path), None)
    if compiler is None:
        return None
    for parallel in _PARALLEL:
        try:
            return Kernels(_built(compiler, (*_FLAGS, *_instructions(), *parallel)))
        except (OSError, subprocess.SubprocessError):
            continue
    return None


def _instructions() -> tuple[str, ...]:
    return _OF_CAPABILITY.get(torch.backends.cpu.get_cpu_capability(), ())


def _built(compiler: str, flags: tuple[str, ...]) -> Path:
    """The compiled library in the user's cache; another process may make it at the same time."""
    constants = [f"-D{name}={value}" for name, value in _CONSTANTS.items()]
    key = hashlib.sha256(repr((compiler, flags, constants)).encode() + SOURCE.read_bytes()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cpt-fpga" / "native"
    target = folder / f"kernels-{key}.so"
    if not target.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / target.name
            subprocess.run(
                [compiler, *flags, *constants, str(SOURCE), "-o", str(made), "-lm"],
                check=True,
                capture_output=True,
                timeout=_SECONDS,
            )
            made.replace(target)
    return target
