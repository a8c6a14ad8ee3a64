"""The exported Verilog, compiled by Verilator and driven through ctypes."""

from cpt.sim.rtl.backend import RtlBackend
from cpt.sim.rtl.library import BusEvent, EventKind, RtlError

__all__ = ["BusEvent", "EventKind", "RtlBackend", "RtlError"]
