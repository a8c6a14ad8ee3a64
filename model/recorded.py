"""What records of earlier versions mean where they differ from today's, whatever the defaults are now."""

from __future__ import annotations

QUANTISER = "sbm"
"""Of runs that do not name one."""
OPTIONS = ("dx_weights", "flagged_errors", "floor")
"""Options of quantisers that were fields beside the quantiser's name, whether it had them or not."""
DX_WEIGHTS = "input_channel"
"""Of runs without options that do not say."""
SHAPES = {"triangular": "up_down"}
"""Cyclic schedules that have another name now."""
