"""What makes an instruction word of a program wrong."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract.config import MAX_BITS
from cpt.hw.contract.passes import CHOICES, COUNTS, SLOT_KINDS
from cpt.hw.contract.step import ENGINES, FORMATS, WORD_BYTES, Code, WordField
from cpt.hw.layouts import SLOT
from cpt.hw.matrix.copies import copies
from cpt.hw.program.layouts import WORD_BITS, fields

FAULTS = data.StructLayout(
    dict.fromkeys(("unreadable", "illegal_code", "reserved_bits", "misaligned", "bad_value", "bad_slot"), 1)
)
"""What an instruction can be refused for."""
CODES = data.StructLayout({code.name.lower(): 1 for code in Code})
"""A decoded code; of an unknown one no bit is 1."""
LUT_BITS = 6
SEEN_AT_ONCE = 2 * LUT_BITS
"""Bits of a word that meet in one register: two LUTs deep."""


class WordCheck(wiring.Component):
    """Looks at all bits of an instruction word, and at the slots that it uses.

    Members: ``word``, stable; ``listed``: it comes from a list, where SET, RUN and END are not allowed, and
    from the ring only they are; ``unreadable``: it came with an error response; four cycles later than the
    word ``slot_a``, ``slot_b``; ``code``: one bit for each `Code`, two cycles later; ``faults``: of the
    first kind that applies.
    Latency `latency_cycles` from ``word`` to ``faults``.
    """

    latency_cycles = 7

    word: In(WORD_BITS)
    listed: In(1)
    unreadable: In(1)
    slot_a: In(SLOT)
    slot_b: In(SLOT)
    code: Out(CODES)
    faults: Out(FAULTS)

    def elaborate(self, platform):
        m = Module()
        words = {code: data.View(fields(code), self.word) for code in Code}
        number, other, third = copies(m, words[Code.END].code, 3, "number")
        for code in Code:
            m.d.sync += self.code[code.name.lower()].eq(other == code)

        # First bits together, then what of them counts with this code: a set of codes is a LUT of the number.
        strays: dict[tuple[Code, ...], list] = {}
        for bit in range(WORD_BITS):
            codes = tuple(
                code
                for code in Code
                if not any(item.offset <= bit < item.offset + item.width for item in FORMATS[code])
            )
            if codes:
                strays.setdefault(codes, []).append(self.word[bit])
        together = [
            (bits[first : first + SEEN_AT_ONCE], codes)
            for codes, bits in strays.items()
            for first in range(0, len(bits), SEEN_AT_ONCE)
        ]
        stray, reserved = (
            Signal(len(together), name=name, reset_less=True) for name in ("stray", "reserved")
        )
        for index, (bits, codes) in enumerate(together):
            m.d.sync += [
                stray[index].eq(Cat(bits).any()),
                reserved[index].eq(stray[index] & one_of(number, codes)),
            ]

        def register(name, value):
            held = Signal(name=name, reset_less=True)
            m.d.sync += held.eq(value)
            return held

        listed = register("from_list", self.listed)
        uses_a = register("uses_a", self._uses(other, words[Code.STORE].kind))
        uses_b = register("uses_b", one_of(other, (Code.EXEC, Code.EXEC_DW)))
        bad_a, bad_b = register("bad_a", self._bad(self.slot_a)), register("bad_b", self._bad(self.slot_b))
        bad_slot = register("bad_slot", (uses_a & bad_a) | (uses_b & bad_b))
        listable = register("listable", one_of(other, tuple(ENGINES)))
        known = register("known", one_of(other, tuple(Code)))
        illegal = register("illegal", ~known | (listable != listed))
        low = register("low", words[Code.RUN].offset[: (WORD_BYTES - 1).bit_length()].any())
        crooked = register("crooked", low & one_of(other, (Code.RUN,)))
        strange = self._any(register, "strange", reserved)
        odd = self._any(register, "odd", self._values(m, words, third))
        # Of the first kind alone.
        earlier = 0
        for name, found in (
            ("unreadable", self.unreadable),
            ("illegal_code", illegal),
            ("reserved_bits", strange),
            ("misaligned", crooked),
            ("bad_value", odd),
            ("bad_slot", bad_slot),
        ):
            m.d.sync += self.faults[name].eq(found & ~earlier)
            earlier = found | earlier
        return m

    @staticmethod
    def _any(register, name, bits):
        """Whether one of many is 1, two cycles later."""
        half = len(bits) // 2
        return register(
            name, register(f"{name}_0", bits[:half].any()) | register(f"{name}_1", bits[half:].any())
        )

    @staticmethod
    def _values(m, words, number):
        """Fields of 0 that must not be, fields that hold no choice: a bit for each place."""
        places: dict[tuple[int, int], list[Code]] = {}
        for code, names in COUNTS.items():
            for item in FORMATS[code]:
                if item.name in names:
                    places.setdefault((item.offset, item.width), []).append(code)
        bad = Signal(len(places), name="empty", reset_less=True)
        for index, ((offset, width), codes) in enumerate(places.items()):
            field = words[codes[0]].as_value()[offset : offset + width]
            parts = [field[first : first + LUT_BITS] for first in range(0, width, LUT_BITS)]
            some = Signal(len(parts), name=f"some_{index}", reset_less=True)
            m.d.sync += [
                some.eq(Cat(part.any() for part in parts)),
                bad[index].eq(~some.any() & one_of(number, codes)),
            ]
        choices: dict[tuple[WordField, tuple[int, ...]], list[Code]] = {}
        for (code, name), allowed in CHOICES.items():
            (item,) = (item for item in FORMATS[code] if item.name == name)
            choices.setdefault((item, allowed), []).append(code)
        unknown, wrong = (Signal(len(choices), name=name, reset_less=True) for name in ("unknown", "wrong"))
        for index, ((item, allowed), codes) in enumerate(choices.items()):
            m.d.sync += [
                unknown[index].eq(~one_of(words[codes[0]][item.name], allowed)),
                wrong[index].eq(unknown[index] & one_of(number, codes)),
            ]
        return Cat(bad, wrong)

    @staticmethod
    def _uses(number, kind):
        """Whether an instruction uses the slot that it names first."""
        table = 0
        for code, kinds in SLOT_KINDS.items():
            if kinds is not None:
                assert fields(code)["kind"] == fields(Code.STORE)["kind"]
            for each in range(1 << len(kind)) if kinds is None else kinds:
                table |= 1 << (code << len(kind) | each)
        return Const(table, 1 << len(kind) + len(number)).bit_select(Cat(kind, number), 1)

    @staticmethod
    def _bad(slot):
        return (slot.bits == 0) | (slot.bits > MAX_BITS)


def one_of(number, codes):
    """Whether a code is one of ``codes``: a table, so that synthesis makes one LUT of it."""
    return Const(sum(1 << code for code in codes), 1 << len(number)).bit_select(number, 1)
