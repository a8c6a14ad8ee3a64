"""Errors that reach the user: one line naming what, its value, and what is allowed."""

from __future__ import annotations


class HostError(Exception):
    """Base of all errors of the runtime; the message is one line and needs no traceback."""


class CheckpointError(HostError):
    """A checkpoint is missing, damaged or of another kind."""


class DeviceError(HostError):
    """The accelerator refused, failed or could not be opened."""


class DeviceTimeout(DeviceError):
    """The accelerator did not finish before the deadline."""


class ContractMismatch(DeviceError):
    """The bitstream was generated from another contract than this software."""


class OutOfDeviceMemory(DeviceError):
    """No contiguous memory of the wanted size is left for the accelerator."""
