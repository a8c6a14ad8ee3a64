"""The exported Verilog, compiled by Verilator and driven through ctypes."""

from sim.rtl.backend import RtlBackend
from sim.rtl.library import BusEvent, EventKind, RtlError

__all__ = ["BusEvent", "EventKind", "RtlBackend", "RtlError"]
