"""How layers are quantised: one frozen, validated record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from cpt.model.quantisers import DEFAULT, Quantiser, make_quantiser, with_options
from cpt.model.schedule import check_bits, hold_ints

PRODUCTS = ("float32", "int8")


@dataclass(frozen=True)
class QuantConfig:
    """Raises `ValueError` naming field, value and what is allowed."""

    quantiser: Quantiser | str = DEFAULT
    """One with its options, or the name of one with its default options."""
    fw: int = 8
    """Bits of weights and activations to begin with; 0 is full precision."""
    bw: int = 8
    """Bits of gradients to begin with; 0 is full precision."""
    seed: int = 0
    """Seed of the stochastic rounding."""
    quantise_bias: bool = False
    """Quantise biases like weights, one range for the vector."""
    products: str = "float32"
    """Of linear layers: sums of ``float32`` values, or of ``int8`` codes, where all bits are 1 to 8."""

    def __post_init__(self) -> None:
        if isinstance(self.quantiser, str):
            object.__setattr__(self, "quantiser", make_quantiser(self.quantiser))
        # A class's own name: one derived from a registered class is another quantiser.
        if not (isinstance(self.quantiser, Quantiser) and vars(type(self.quantiser)).get("name")):
            raise ValueError(
                f"quantiser is {self.quantiser!r}; allowed: a name, or an object of a class under "
                "@register_quantiser(NAME)"
            )
        for name in ("fw", "bw"):
            hold_ints(self, **{name: check_bits(name, getattr(self, name), full_precision=True)})
        if self.products not in PRODUCTS:
            raise ValueError(f"products is {self.products!r}; allowed: {', '.join(PRODUCTS)}")
        if self.products == "int8" and not self.plug.integers:
            raise ValueError(
                f"products is 'int8' with quantiser {self.plug}; allowed: one whose scales can be taken out "
                "of all sums, as the default's"
            )
        if not (isinstance(self.seed, Integral) and 0 <= self.seed < 2**32):
            raise ValueError(f"seed is {self.seed}; allowed: 0..{2**32 - 1}")
        hold_ints(self, seed=self.seed)

    @property
    def plug(self) -> Quantiser:
        """The quantiser, never a name."""
        assert isinstance(self.quantiser, Quantiser)
        return self.quantiser

    def as_dict(self) -> dict[str, Any]:
        """All fields by name and all options of the quantiser, as JSON has them."""
        rest = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return rest | {"quantiser": self.plug.name, "quantiser_options": self.plug.options()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> QuantConfig:
        """What `as_dict` gave, in this version or before; raises `ValueError` naming a field that is none."""
        given = with_options(values)
        options = given.pop("quantiser_options", {})
        names = {field.name for field in dataclasses.fields(cls)}
        if odd := sorted(set(given) - names):
            raise ValueError(f"config has {odd[0]!r}; allowed: {', '.join(sorted(names))}, quantiser_options")
        return cls(**given | {"quantiser": make_quantiser(given.get("quantiser", DEFAULT), options)})
