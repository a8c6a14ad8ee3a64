"""How a property set is written: a module around the block, with free inputs, assumptions and demands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from amaranth import Cat, ClockDomain, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib.wiring import In

DEMAND = "demand_"
"""Prefix of the signals that must be 1 in every cycle."""
REACH = "reach_"
"""Prefix of the signals that must be 1 in some cycle that is looked at."""


class Properties(Elaboratable):
    """Block under proof, named ``dut``, and what is said about it.

    A subclass takes its block, and in `describe` adds assumptions and demands to the module. Every input of
    the block is free; ``stop`` and the like included.

    Parameters: ``block``: a `wiring.Component`.
    """

    def __init__(self, block: Any) -> None:
        self.block = block
        self.peeks: dict[str, Any] = {}
        """Signals of the harness that stand for a signal inside, by its path below the block."""
        self.free_signals: list[Any] = []
        self.outside_only = False
        """Leave out what is said of the inside: what remains must find a fault by what the partners see."""
        self.tied: Mapping[str, Const | str] = {}
        """Signals inside by their path, and what they are instead: a constant, or the signal of a path."""
        self._described = False
        self._module = Module()
        self._clock = ClockDomain("sync", reset_less=True)
        self._started = Signal(name="started")

    def describe(self) -> None:
        """Adds assumptions and demands."""
        raise NotImplementedError

    def elaborate(self, platform: Any) -> Module:
        """The block with its properties; the same module each time."""
        if self._described:
            return self._module
        self._described = True
        self._module.domains.sync = self._clock
        self._module.submodules.dut = self.block
        self._module.d.sync += self._started.eq(1)
        for path, value in self.tied.items():
            other = self.peek(value) if isinstance(value, str) else value
            self.assume(self.peek(path, len(other)) == other)
        self.describe()
        return self._module

    @property
    def ports(self) -> list[Any]:
        """Free inputs: those of the block, and those the properties have added; known after `elaborate`."""
        inputs = [
            Value.cast(value)
            for _, member, value in self.block.signature.flatten(self.block)
            if member.flow == In
        ]
        return [self._clock.clk, *inputs, *self.free_signals, *self.peeks.values()]

    def demand(self, name: str, condition: Any) -> None:
        """``condition`` must hold in every cycle."""
        flag = Signal(name=DEMAND + re.sub(r"\W", "_", name))
        self._module.d.comb += [flag.eq(condition), Assert(flag)]

    def inside(self, name: str, condition: Any) -> None:
        """``condition``, about signals inside, holds in every cycle; an induction needs to know it."""
        if not self.outside_only:
            self.demand(f"inside: {name}", condition)

    def reach(self, name: str, condition: Any) -> None:
        """``condition`` must be possible: without it the demands might hold because nothing happens."""
        flag = Signal(name=REACH + re.sub(r"\W", "_", name))
        self._module.d.comb += [flag.eq(condition), Cover(flag)]

    def assume(self, condition: Any) -> None:
        """Only what keeps ``condition`` in every cycle is looked at."""
        self._module.d.comb += Assume(condition)

    def peek(self, path: str, shape: Any = 1) -> Any:
        """The signal at ``path``, for example ``generator.left``, inside the block."""
        if path not in self.peeks:
            self.peeks[path] = Signal(shape, name=f"peek_{len(self.peeks)}")
        return self.peeks[path]

    def free(self, name: str, shape: Any) -> Any:
        """Any value in every cycle."""
        value = Signal(shape, name=name)
        self.free_signals.append(value)
        return value

    def counter(self, name: str, width: int, up: Any, down: Any = 0) -> Any:
        """A count of its own that the properties keep: ``up`` and ``down`` are added and subtracted."""
        count = Signal(width, name=name)
        self._module.d.sync += count.eq(count + up - down)
        return count

    def list_of(self, name: str, places: int, bits: int, put: Any, value: Any, drop: Any) -> tuple[Any, Any]:
        """A list of its own: ``value`` goes to the end while ``put``, the front leaves while ``drop``.

        Returns its places, the front first, and how many are taken.
        """
        entries = [Signal(bits, name=f"{name}_{n}") for n in range(places)]
        taken = Signal(range(places + 2), name=f"{name}_taken")
        after: Any = taken - drop
        self._module.d.sync += taken.eq(after + put)
        for n, entry in enumerate(entries):
            moved = Mux(drop, entries[n + 1] if n + 1 < places else 0, entry)
            self._module.d.sync += entry.eq(Mux(put & (after == n), value, moved))
        return entries, taken

    def past(self, value: Any, init: int = 0) -> Any:
        """``value`` a cycle ago."""
        value = Value.cast(value)
        held = Signal(value.shape(), init=init)
        self._module.d.sync += held.eq(value)
        return held

    def kept(self, valid: Any, ready: Any, *payload: Any) -> Any:
        """The rule of valid and ready: what is offered and not taken stays as it is."""
        offered = self.past(valid & ~ready)
        together = Cat(*(Value.cast(item) for item in payload))
        return ~(self._started & offered) | (valid & (together == self.past(together)))
