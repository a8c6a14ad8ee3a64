"""Seeded random matrix products: shapes, precisions, codes and where they lie in memory.

A case is made from ``(seed, number)`` alone, so any one of them can be replayed without the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cpt.host.packing import pack_operand
from cpt.host.program import Gemm, Program
from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import ALL_TAPS, MAX_BITS, TAPS
from cpt.hw.contract.isa import INSTRUCTION_BYTES


@dataclass(frozen=True)
class Precision:
    """What the two slots of a product hold during one run."""

    bits_a: int
    bits_b: int
    signed_a: bool
    signed_b: bool

    @property
    def signed(self) -> bool:
        """Whether results are two's complement."""
        return self.signed_a or self.signed_b


PRECISIONS = tuple(
    Precision(bits_a, bits_b, signed_a, signed_b)
    for bits_a in range(1, MAX_BITS + 1)
    for bits_b in range(1, MAX_BITS + 1)
    for signed_a in (False, True)
    for signed_b in (False, True)
)
"""Every pair of widths with every combination of signs."""
LARGEST_MN, LARGEST_K = 80, 700
RANDOM_SHAPES = 900
STALL_PROBABILITIES = (0.0, 0.1, 0.3, 0.7)


@dataclass(frozen=True)
class Case:
    """One product, run once per precision by the same program on the same machine."""

    seed: int
    number: int
    m: int
    n: int
    k: int
    precisions: tuple[Precision, ...]
    max_bits_a: int
    max_bits_b: int
    col_sums: bool
    taps: int
    memory: str
    """Name of the memory model."""
    stall_probability: float

    def __str__(self) -> str:
        bits = " then ".join(
            f"{p.bits_a}{'s' * p.signed_a}x{p.bits_b}{'s' * p.signed_b}" for p in self.precisions
        )
        return (
            f"case {self.number}: {self.m}x{self.k}x{self.n} at {bits} "
            f"of {self.max_bits_a}x{self.max_bits_b}, {self.memory}, stalls {self.stall_probability}"
        )


def edge_shapes(config: ArrayConfig) -> list[tuple[int, int, int]]:
    """``(m, n, k)`` on both sides of every tile edge, and of the longest K that stays on chip."""
    ms = (1, config.rows - 1, config.rows, config.rows + 1, 2 * config.rows)
    ns = (1, config.cols - 1, config.cols, config.cols + 1, 2 * config.cols)
    longest = config.word_bits * (config.half_words("a") // MAX_BITS)
    ks = (1, config.word_bits - 1, config.word_bits, config.word_bits + 1, longest, longest + 1)
    return [(m, n, k) for m in ms for n in ns for k in ks if m >= 1 and k <= LARGEST_K]


def case_count(config: ArrayConfig) -> int:
    """Cases of the full list: every precision, every edge, then `RANDOM_SHAPES`."""
    return len(PRECISIONS) + len(edge_shapes(config)) + RANDOM_SHAPES


def make_case(config: ArrayConfig, seed: int, number: int) -> Case:
    """Case ``number`` (0 .. `case_count` - 1) of ``seed``."""
    rng = np.random.default_rng([seed, number])
    edges = edge_shapes(config)
    if number < len(PRECISIONS):
        precisions: tuple[Precision, ...] = (PRECISIONS[number],)
        m, n = (int(rng.integers(1, 2 * lanes + 2)) for lanes in (config.rows, config.cols))
        k = int(rng.integers(1, 2 * config.word_bits + 2))
    else:
        precisions = tuple(PRECISIONS[rng.integers(len(PRECISIONS))] for _ in range(2))
        index = number - len(PRECISIONS)
        if index < len(edges):
            m, n, k = edges[index]
        else:
            m, n = (int(value) for value in rng.integers(1, LARGEST_MN + 1, 2))
            k = int(rng.integers(1, LARGEST_K + 1))
    return Case(
        seed,
        number,
        m,
        n,
        k,
        precisions,
        max_bits_a=int(rng.integers(max(p.bits_a for p in precisions), MAX_BITS + 1)),
        max_bits_b=int(rng.integers(max(p.bits_b for p in precisions), MAX_BITS + 1)),
        col_sums=bool(rng.integers(2)),
        taps=random_taps(rng),
        memory=("ideal", "ps-ddr")[rng.integers(2)],
        stall_probability=STALL_PROBABILITIES[number % len(STALL_PROBABILITIES)],
    )


def random_taps(rng: np.random.Generator) -> int:
    """A tap mask: one in four takes all of K."""
    return ALL_TAPS if rng.integers(4) == 0 else int(rng.integers(1, ALL_TAPS + 1))


def column_sums(codes: NDArray[np.int64], taps: int, config: ArrayConfig) -> NDArray[np.int64]:
    """Golden column sums of B's ``codes`` (n, k): over those in the words' parts that ``taps`` names."""
    part = config.word_bits // TAPS
    taken = np.array([taps >> at % config.word_bits // part & 1 for at in range(codes.shape[1])], np.int64)
    return codes @ taken


def random_codes(
    rng: np.random.Generator, shape: tuple[int, int], bits: int, signed: bool
) -> NDArray[np.int64]:
    """Codes of ``bits`` bits: mostly uniform, one in four all at one end of the range."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if rng.integers(4) == 0:
        return np.full(shape, (low, high)[rng.integers(2)], np.int64)
    return rng.integers(low, high + 1, shape)


@dataclass(frozen=True)
class Placement:
    """A case in memory: the ring at the start, then both operands and the result with random gaps."""

    gemm: Gemm
    program: Program
    ring_log2: int
    memory_bytes: int

    @classmethod
    def of(cls, case: Case, config: ArrayConfig, memory_base: int) -> Placement:
        """Place ``case`` in a memory that starts at ``memory_base``."""
        rng = np.random.default_rng([case.seed, case.number, 1])
        slot_a, slot_b = (int(slot) for slot in rng.choice(256, 2, replace=False))

        def gemm(addr_a: int, addr_b: int, addr_c: int) -> Gemm:
            return Gemm(
                config,
                case.m,
                case.n,
                case.k,
                slot_a,
                slot_b,
                addr_a,
                addr_b,
                addr_c,
                case.max_bits_a,
                case.max_bits_b,
                case.col_sums,
                case.taps,
            )

        draft = gemm(0, 0, 0)
        ring_log2 = (len(draft.program()) - 1).bit_length()
        end = memory_base + (INSTRUCTION_BYTES << ring_log2)
        addresses = []
        for layout in (draft.layout_a, draft.layout_b, draft.layout_c):
            addresses.append(end + 8 * int(rng.integers(64)))
            end = addresses[-1] + -(-layout.nbytes // 8) * 8
        placed = gemm(*addresses)
        return cls(placed, placed.program(f"case {case.number}"), ring_log2, end - memory_base + 512)

    def fill(
        self, memory: NDArray[np.uint8], memory_base: int, case: Case, run: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Write noise and the packed operands of run ``run`` into ``memory``; returns the codes."""
        rng = np.random.default_rng([case.seed, case.number, 2, run])
        precision, gemm = case.precisions[run], self.gemm
        memory[:] = rng.integers(0, 256, memory.size, np.uint8)
        codes_a = random_codes(rng, (case.m, case.k), precision.bits_a, precision.signed_a)
        codes_b = random_codes(rng, (case.n, case.k), precision.bits_b, precision.signed_b)
        pack_operand(
            codes_a,
            gemm.layout_a,
            precision.bits_a,
            memory[gemm.addr_a - memory_base :],
            signed=precision.signed_a,
        )
        pack_operand(
            codes_b,
            gemm.layout_b,
            precision.bits_b,
            memory[gemm.addr_b - memory_base :],
            signed=precision.signed_b,
        )
        return codes_a, codes_b
