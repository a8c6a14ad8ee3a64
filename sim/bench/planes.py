"""Words of bit planes for the benches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def word(codes: NDArray[np.int64], plane: int, k: int, width: int) -> int:
    """Bits ``plane`` of the ``width`` codes of K step ``k`` of one lane, the first code in bit 0."""
    part = codes[k * width : (k + 1) * width]
    return sum(int(code) >> plane & 1 and 1 << index for index, code in enumerate(part))
