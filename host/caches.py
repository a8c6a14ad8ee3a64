"""Cache maintenance of the bytes that are used, no more.

`pynq.PynqBuffer.flush` and `invalidate` do this too where the device obeys offset and size. That of a PYNQ
image (pynq 3.1) maintains the whole buffer; its buffer objects take offset and size, so they are asked here.
"""

from __future__ import annotations

import sys
from typing import Any

LINE_BYTES = 32
"""Cache line of a Cortex-A9; buffers begin on pages, so whole lines belong to one buffer."""
_XRT = "pyxrt"


def lines(start: int, nbytes: int) -> tuple[int, int]:
    """First byte and size of the whole cache lines around ``start .. start+nbytes-1``."""
    first = start // LINE_BYTES * LINE_BYTES
    return first, -(-(start + nbytes - first) // LINE_BYTES) * LINE_BYTES


def write_back(buffer: Any) -> None:
    """Make what the processor wrote to ``buffer`` (or to a contiguous view) visible to the accelerator."""
    if not _sync(buffer, "XCL_BO_SYNC_BO_TO_DEVICE"):
        buffer.flush()


def drop(buffer: Any) -> None:
    """Make what the accelerator wrote to ``buffer`` (or a contiguous view) visible to the processor."""
    if not _sync(buffer, "XCL_BO_SYNC_BO_FROM_DEVICE"):
        buffer.invalidate()


def _sync(buffer: Any, direction: str) -> bool:
    """Whether ``buffer`` lies in a buffer object of XRT, which then was told what to do."""
    if not hasattr(buffer.bo, "sync"):
        return False
    first, size = lines(int(buffer.offset), buffer.nbytes)
    buffer.bo.sync(getattr(sys.modules[_XRT].xclBOSyncDirection, direction), size, first)
    return True
