"""How operands and results lie in memory: sizes and strides, shared by host, RTL and models.

An operand matrix of codes ``(lanes_total, k)`` is cut into tiles of ``rows`` (A) or ``cols`` (B)
lanes and words of ``word_bits`` codes, stored bit plane by bit plane::

    [tile][plane][k step][lane in tile][bit in word]      bit 0 of a byte first

The words of a K step lie side by side, bit by bit; zeros follow up to the next multiple of 8 bytes.
Missing lanes and codes beyond K are zero in every plane. Strides are fixed by ``max_bits``, so a
lower precision reads fewer planes of the same layout.

A result tile is ``[row][byte plane][column]``, see ``DRAIN`` in `cpt.hw.contract.isa`.
"""

from dataclasses import dataclass

from cpt.hw.contract.config import ACC_BITS, MAX_BITS, ArrayConfig, require

SUM_ROWS = 1
"""Rows a result tile may carry beyond the array's: the column sums."""


def result_rows(config: ArrayConfig) -> int:
    """Rows of a result tile at most: array rows and sums."""
    return config.rows + SUM_ROWS


def k_log2(k: int) -> int:
    """ceil(log2(k)): bits by which a sum of ``k`` products outgrows one product."""
    require(k >= 1, f"K is {k}; allowed: at least 1")
    return (k - 1).bit_length()


def result_bytes(bits_a: int, bits_b: int, k_log2: int) -> int:
    """Bytes per result element: enough for any sum of ``2**k_log2`` products and its sign.

    Elements are two's complement if either operand is signed, else unsigned.
    """
    bits = bits_a + bits_b + k_log2
    require(bits <= ACC_BITS, f"result needs {bits} bits; allowed: at most {ACC_BITS}")
    return -(-bits // 8)


@dataclass(frozen=True)
class OperandLayout:
    """Where the planes of one operand matrix lie, relative to its base address."""

    config: ArrayConfig
    operand: str
    """``"a"`` (array rows) or ``"b"`` (array columns)."""
    count: int
    """Matrix rows of A, or columns of the product for B."""
    k: int
    max_bits: int = MAX_BITS
    """Planes that space is kept for."""

    def __post_init__(self) -> None:
        require(self.operand in ("a", "b"), f"operand is {self.operand!r}; allowed: a, b")
        require(self.count >= 1, f"operand rows are {self.count}; allowed: at least 1")
        require(self.k >= 1, f"K is {self.k}; allowed: at least 1")
        require(
            1 <= self.max_bits <= MAX_BITS,
            f"max_bits is {self.max_bits}; allowed: 1..{MAX_BITS}",
        )

    @property
    def lanes(self) -> int:
        """Lanes per tile."""
        return self.config.lanes(self.operand)

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return -(-self.count // self.lanes)

    @property
    def ksteps(self) -> int:
        """Words along K."""
        return -(-self.k // self.config.word_bits)

    @property
    def group_bytes(self) -> int:
        """Bytes of one K step of one plane of one tile."""
        return self.config.group_bytes(self.operand)

    @property
    def plane_stride(self) -> int:
        """Bytes from one plane of a tile to the next."""
        return self.ksteps * self.group_bytes

    @property
    def tile_stride(self) -> int:
        """Bytes from one tile to the next."""
        return self.max_bits * self.plane_stride

    @property
    def nbytes(self) -> int:
        """Bytes of the whole matrix."""
        return self.tiles * self.tile_stride

    def place(self, row: int, column: int, plane: int) -> tuple[int, int]:
        """Byte, and bit within it, of bit ``plane`` of the code at ``row`` and ``column`` (along K)."""
        tile, lane = divmod(row, self.lanes)
        kstep, word_bit = divmod(column, self.config.word_bits)
        group = tile * self.tile_stride + plane * self.plane_stride + kstep * self.group_bytes
        byte, bit = divmod(lane * self.config.word_bits + word_bit, 8)
        return group + byte, bit


@dataclass(frozen=True)
class ResultLayout:
    """Where the tiles of a product lie: ``[column tile][row tile]`` at fixed strides."""

    config: ArrayConfig
    m: int
    n: int
    k: int
    max_bits_a: int = MAX_BITS
    max_bits_b: int = MAX_BITS

    @property
    def row_tiles(self) -> int:
        """Row tiles (``tiles`` of DRAIN)."""
        return -(-self.m // self.config.rows)

    @property
    def col_tiles(self) -> int:
        """Column tiles (``blocks`` of DRAIN)."""
        return -(-self.n // self.config.cols)

    @property
    def tile_stride(self) -> int:
        """Bytes kept per tile: all rows and the column sums at the widest result."""
        widest = result_bytes(self.max_bits_a, self.max_bits_b, k_log2(self.k))
        return result_rows(self.config) * widest * self.config.cols

    @property
    def block_stride(self) -> int:
        """Bytes from one column tile to the next."""
        return self.row_tiles * self.tile_stride

    @property
    def nbytes(self) -> int:
        """Bytes of the whole product."""
        return self.col_tiles * self.block_stride

    def place(self, row: int, column: int, byte: int, width: int) -> int:
        """Byte ``byte`` of the element at ``row`` and ``column``, ``width`` (`result_bytes`) bytes wide."""
        row_tile, tile_row = divmod(row, self.config.rows)
        return self._in_tile(row_tile, tile_row, column, byte, width)

    def sum_place(self, column: int, byte: int, width: int) -> int:
        """The same of a column's sum, which follows the rows of the first tile."""
        return self._in_tile(0, self.config.rows, column, byte, width)

    def _in_tile(self, row_tile: int, tile_row: int, column: int, byte: int, width: int) -> int:
        block, tile_column = divmod(column, self.config.cols)
        tile = block * self.block_stride + row_tile * self.tile_stride
        return tile + (tile_row * width + byte) * self.config.cols + tile_column
