"""Result tiles: from the accumulators of EXEC to the bytes DRAIN writes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.signedinteger]


@dataclass(frozen=True)
class Tiles:
    """Result tiles of consecutive blocks, every block with the same number of tiles."""

    values: NDArray[np.generic]
    """``(blocks, tiles, rows, cols)``, integers in any dtype."""
    col_sums: NDArray[np.generic]
    """``(blocks, cols)``: sums of B's columns over K."""

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return self.values.shape[0]

    @property
    def tiles(self) -> int:
        """Tiles per block."""
        return self.values.shape[1]

    def part(self, start: int, stop: int) -> Tiles:
        """Blocks ``start`` to ``stop``."""
        return Tiles(self.values[start:stop], self.col_sums[start:stop])

    def singles(self) -> list[Tiles]:
        """Every tile on its own, in the order EXEC completes them."""
        return [
            Tiles(self.values[block : block + 1, tile : tile + 1], self.col_sums[block : block + 1])
            for block in range(self.blocks)
            for tile in range(self.tiles)
        ]

    def last_tile(self) -> Tiles:
        """The last tile of the last block."""
        return Tiles(self.values[-1:, -1:], self.col_sums[-1:])

    def plus(self, other: Tiles) -> Tiles:
        """Tile by tile sum, as 64-bit integers; one of the two may be a single tile."""
        return Tiles(
            self.values.astype(np.int64) + other.values.astype(np.int64),
            self.col_sums.astype(np.int64) + other.col_sums.astype(np.int64),
        )


def byte_planes(values: NDArray[np.generic], result_bytes: int) -> NDArray[np.uint8]:
    """``(..., rows, cols)`` integers as ``(..., rows * result_bytes * cols)`` bytes of result rows."""
    # float32 results are below 2**24 in absolute value, so 32 bits hold them and their sign.
    narrow = values.dtype == np.float32 and result_bytes <= 4
    whole: Integers = values.astype(np.int32 if narrow else np.int64)
    *outer, rows, cols = values.shape
    planes = np.empty((*outer, rows, result_bytes, cols), np.uint8)
    for index in range(result_bytes):
        planes[..., index, :] = whole >> (8 * index)
    return planes.reshape(*outer, rows * result_bytes * cols)


class TileQueue:
    """Completed result tiles, in order, waiting for DRAIN."""

    def __init__(self) -> None:
        self._waiting: deque[Tiles] = deque()
        self.count = 0

    def push(self, tiles: Tiles) -> None:
        """Add completed tiles at the end."""
        self._waiting.append(tiles)
        self.count += tiles.blocks * tiles.tiles

    def pop(self, blocks: int, tiles: int) -> list[Tiles]:
        """Take ``blocks * tiles`` tiles as pieces of whole blocks; the caller checked they are there."""
        pieces = []
        self.count -= blocks * tiles
        while blocks:
            head = self._waiting.popleft()
            if head.tiles == tiles:
                if head.blocks > blocks:
                    self._waiting.appendleft(head.part(blocks, head.blocks))
                    head = head.part(0, blocks)
            else:
                head = self._gather(head, tiles)
            pieces.append(head)
            blocks -= head.blocks
        return pieces

    def _gather(self, head: Tiles, tiles: int) -> Tiles:
        """One block of ``tiles`` tiles out of pieces that EXEC grouped otherwise."""
        singles = head.singles()
        while len(singles) < tiles:
            singles.extend(self._waiting.popleft().singles())
        self._waiting.extendleft(reversed(singles[tiles:]))
        block = singles[:tiles]
        return Tiles(np.concatenate([tile.values for tile in block], axis=1), block[0].col_sums)
