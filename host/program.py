"""Programs for the accelerator: matrix products as instruction words.

A program names precision slots and the widest codes its buffers have room for, never the bits in
use, so it is built once and stays as it is while the precision changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from cpt.hw.contract import (
    ArrayConfig,
    ContractError,
    Opcode,
    OperandLayout,
    ResultLayout,
    encode,
    k_log2,
    result_bytes,
)
from cpt.hw.contract.config import ALL_TAPS, BEAT_BYTES, MAX_BITS
from cpt.hw.contract.isa import FORMATS, INSTRUCTION_BYTES
from cpt.hw.contract.order import tile_cycles

_END = encode(Opcode.END, tag=0)
_TAG_BYTE = next(item.offset for item in FORMATS[Opcode.END].fields if item.name == "tag") // 8
_MAX_BLOCKS = next(item.maximum for item in FORMATS[Opcode.LOAD_B].fields if item.name == "blocks")
_ADDRESS_LIMIT = 1 << 32


class Work(NamedTuple):
    """Equal tiles that a product asks of the array."""

    slot_a: int
    slot_b: int
    ksteps: int
    tiles: int


@dataclass(frozen=True)
class Program:
    """Instruction words that end in one END; the driver writes its tag when it places them."""

    name: str
    words: bytes
    work: tuple[Work, ...] = ()

    def __post_init__(self) -> None:
        if len(self.words) % INSTRUCTION_BYTES or not self.words.endswith(_END):
            raise ContractError(
                f"program {self.name} has {len(self.words)} bytes; "
                f"allowed: instructions of {INSTRUCTION_BYTES} bytes, the last one END with tag 0"
            )

    def __len__(self) -> int:
        """Number of instructions."""
        return len(self.words) // INSTRUCTION_BYTES

    def tagged(self, tag: int) -> bytes:
        """The words with ``tag`` in the final END."""
        end = bytearray(_END)
        end[_TAG_BYTE : _TAG_BYTE + 4] = tag.to_bytes(4, "little")
        return self.words[:-INSTRUCTION_BYTES] + bytes(end)

    def exec_cycles(self, slots: Mapping[int, tuple[int, bool]]) -> int:
        """Cycles the array is busy, given ``(bits, signed)`` of each slot: the exact value of its counter."""
        cycles = 0
        for item in self.work:
            (bits_a, signed_a), (bits_b, signed_b) = slots[item.slot_a], slots[item.slot_b]
            cycles += item.tiles * tile_cycles(bits_a, bits_b, signed_a, signed_b, item.ksteps)
        return cycles


def join(name: str, programs: Sequence[Program]) -> Program:
    """One program that runs several behind each other, without waiting in between."""
    body = b"".join(item.words[:-INSTRUCTION_BYTES] for item in programs)
    return Program(name, body + _END, tuple(work for item in programs for work in item.work))


@dataclass(frozen=True)
class Gemm:
    """The product ``C (m, n) = A (m, k) . B (n, k)^T`` and where its operands lie.

    Raises `ContractError` for a slot, address or width out of range.
    """

    config: ArrayConfig
    m: int
    n: int
    k: int
    slot_a: int
    slot_b: int
    addr_a: int
    addr_b: int
    addr_c: int
    max_bits_a: int = MAX_BITS
    max_bits_b: int = MAX_BITS
    col_sums: bool = False
    taps: int = ALL_TAPS
    """Parts of every word of K that count in the column sums (EXEC.taps)."""

    def __post_init__(self) -> None:
        result_bytes(self.max_bits_a, self.max_bits_b, k_log2(self.k))
        for name, address, nbytes in (
            ("addr_a", self.addr_a, self.layout_a.nbytes),
            ("addr_b", self.addr_b, self.layout_b.nbytes),
            ("addr_c", self.addr_c, self.layout_c.nbytes),
        ):
            if address % BEAT_BYTES or not 0 <= address <= _ADDRESS_LIMIT - nbytes:
                raise ContractError(
                    f"{name} is {address:#x}; allowed: multiples of {BEAT_BYTES} with {nbytes} bytes below "
                    "4 GB"
                )

    @property
    def layout_a(self) -> OperandLayout:
        """How A lies at ``addr_a``."""
        return OperandLayout(self.config, "a", self.m, self.k, self.max_bits_a)

    @property
    def layout_b(self) -> OperandLayout:
        """How B lies at ``addr_b``."""
        return OperandLayout(self.config, "b", self.n, self.k, self.max_bits_b)

    @property
    def layout_c(self) -> ResultLayout:
        """How C lies at ``addr_c``."""
        return ResultLayout(self.config, self.m, self.n, self.k, self.max_bits_a, self.max_bits_b)

    def program(self, name: str = "gemm") -> Program:
        """The instructions, in the loop order that reads least for this shape."""
        tiles_per_load = min(
            self.config.half_words("a") // (self.layout_a.ksteps * self.max_bits_a),
            self.layout_a.tiles,
        )
        b_fits = self.layout_b.ksteps * self.max_bits_b <= self.config.half_words("b")
        if tiles_per_load and b_fits:
            edges = [0, self.layout_a.ksteps]
            body = self._resident(tiles_per_load)
        else:
            edges = self._chunk_edges()
            body = self._chunked(edges)
        tiles = self.layout_a.tiles * self.layout_b.tiles
        work = tuple(Work(self.slot_a, self.slot_b, end - start, tiles) for start, end in pairwise(edges))
        return Program(name, b"".join(body) + _END, work)

    def _resident(self, group: int) -> Iterator[bytes]:
        """Keep ``group`` A tiles on chip and stream all of B past them, group after group."""
        a, b, c = self.layout_a, self.layout_b, self.layout_c
        for row in range(0, a.tiles, group):
            tiles = min(group, a.tiles - row)
            yield self._load_a(tiles, a.ksteps, self.addr_a + row * a.tile_stride)
            for col in range(0, b.tiles, _MAX_BLOCKS):
                blocks = min(_MAX_BLOCKS, b.tiles - col)
                yield self._load_b(blocks, b.ksteps, self.addr_b + col * b.tile_stride)
                yield self._exec(a.ksteps, tiles=tiles, blocks=blocks, release_a=col + blocks == b.tiles)
                yield self._drain(row, col, tiles, blocks, c)

    def _chunk_edges(self) -> list[int]:
        """Where K is cut when it does not fit in a buffer half, in K steps, both ends included."""
        fits = min(
            self.config.half_words("a") // self.max_bits_a, self.config.half_words("b") // self.max_bits_b
        )
        ksteps = self.layout_a.ksteps
        chunks = -(-ksteps // fits)
        # Equal chunks: a short last one would hide less of the loading behind it.
        return [index * ksteps // chunks for index in range(chunks + 1)]

    def _chunked(self, edges: Sequence[int]) -> Iterator[bytes]:
        """One result tile at a time, chunk after chunk of K."""
        a, b, c = self.layout_a, self.layout_b, self.layout_c
        for row in range(a.tiles):
            for col in range(b.tiles):
                for start, end in pairwise(edges):
                    base_a = self.addr_a + row * a.tile_stride + start * a.group_bytes
                    base_b = self.addr_b + col * b.tile_stride + start * b.group_bytes
                    yield self._load_a(1, end - start, base_a)
                    yield self._load_b(1, end - start, base_b)
                    yield self._exec(end - start, first=start == 0, last=end == a.ksteps)
                yield self._drain(row, col, 1, 1, c)

    def _load_a(self, tiles: int, ksteps: int, base: int) -> bytes:
        a = self.layout_a
        return encode(
            Opcode.LOAD_A,
            slot=self.slot_a,
            tiles=tiles,
            ksteps=ksteps,
            blocks=1,
            base=base,
            block_stride=0,
            tile_stride=a.tile_stride,
            plane_stride=a.plane_stride,
        )

    def _load_b(self, blocks: int, ksteps: int, base: int) -> bytes:
        b = self.layout_b
        return encode(
            Opcode.LOAD_B,
            slot=self.slot_b,
            tiles=1,
            ksteps=ksteps,
            blocks=blocks,
            base=base,
            block_stride=b.tile_stride,
            tile_stride=0,
            plane_stride=b.plane_stride,
        )

    def _exec(
        self,
        ksteps: int,
        *,
        tiles: int = 1,
        blocks: int = 1,
        first: bool = True,
        last: bool = True,
        release_a: bool = True,
    ) -> bytes:
        return encode(
            Opcode.EXEC,
            slot_a=self.slot_a,
            slot_b=self.slot_b,
            ksteps=ksteps,
            first=first,
            last=last,
            tiles=tiles,
            release_a=release_a,
            taps=self.taps,
            blocks=blocks,
        )

    def _drain(self, row: int, col: int, tiles: int, blocks: int, c: ResultLayout) -> bytes:
        """Tiles from ``(row, col)`` on; column sums leave once, with the first row of tiles."""
        return encode(
            Opcode.DRAIN,
            slot_a=self.slot_a,
            slot_b=self.slot_b,
            k_log2=k_log2(self.k),
            col_sums=self.col_sums and row == 0,
            tiles=tiles,
            base=self.addr_c + col * c.block_stride + row * c.tile_stride,
            block_stride=c.block_stride,
            tile_stride=c.tile_stride,
            blocks=blocks,
        )


def build_gemm(
    config: ArrayConfig,
    m: int,
    n: int,
    k: int,
    max_bits_a: int,
    max_bits_b: int,
    slot_a: int,
    slot_b: int,
    addr_a: int,
    addr_b: int,
    addr_c: int,
    col_sums: bool = False,
    taps: int = ALL_TAPS,
    name: str = "gemm",
) -> Program:
    """The program of one `Gemm`; same arguments and errors."""
    return Gemm(
        config,
        m,
        n,
        k,
        slot_a,
        slot_b,
        addr_a,
        addr_b,
        addr_c,
        max_bits_a,
        max_bits_b,
        col_sums,
        taps,
    ).program(name)
