"""What the forward and the backward pass share: local words, channels' places, running values."""

from __future__ import annotations

import math
from functools import partial

from cpt.host.compiler.builder import LOCAL_ROOM, Region
from cpt.host.compiler.lanes import MOST_TURN, Lanes
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.lifetimes import Recorder
from cpt.host.compiler.memory import IN_WORDS, PAIR, Piece
from cpt.host.compiler.moves import Moves, Tensor
from cpt.host.compiler.parts import Scratch
from cpt.host.compiler.plan import IMAGE_SLOT, Codes, ConvPlan
from cpt.host.compiler.products import Products
from cpt.host.compiler.vectors import ZERO, Vector, Vectors, coefficient, integer, of_slot
from cpt.hw.contract import ContractError
from cpt.hw.contract.floats import Coefficient, SlotConstant, Space
from cpt.hw.contract.tiles import Picture
from cpt.model.golden.fabric.apply import LEAST_NOISE_SHIFT

CHUNK = 4608
"""Local words that pieces of parameters may take at once."""


class Work:
    """One list of instructions under way, for one layout of a network."""

    def __init__(
        self, layout: Layout, rate: float, scratch: Scratch, most_turn: int = MOST_TURN, part: str = ""
    ) -> None:
        self.layout, self.rate, self.scratch = layout, rate, scratch
        self.recorder = Recorder(layout.config, layout.unit_words, LOCAL_ROOM, layout.names, part)
        self.v = Vectors(self.recorder)
        self.moves = Moves(layout, self.recorder, self.v, scratch)
        self.products = Products(layout, self.recorder)
        self.lanes = Lanes(layout, self.recorder, self.moves, most_turn)
        self._last_y: Region | None = None
        """Words of the last y."""

    def _unit(self, codes: Codes) -> Vector:
        return Vector(Space.LOCAL, codes.unit, 1)

    def _units(self) -> Vector:
        """Units of all codes."""
        return Vector(Space.LOCAL, 0, self.layout.unit_words)

    def _has_place(self, place: int, picture: Picture, channels: int) -> bool:
        """Whether tensors of a shape have room for so many places."""
        return place < len(self.layout.division(self.scratch, picture, channels).starts)

    def _free_places(self, picture: Picture, channels: int, places: tuple[int, ...]) -> list[int]:
        """Places for a y of a shape in whose words the last y, of whatever shape, is not."""
        taken = self.layout.division(self.scratch, picture, channels).taken
        there = [place for place in places if self._has_place(place, picture, channels)]
        return [place for place in there if not (self._last_y and taken[place].meets(self._last_y))]

    def _y_place(self, picture: Picture, channels: int, *places: int) -> int:
        """Where a y of a shape goes: by turns to all ``places`` where they have room, so that the array makes
        one while the lanes and the bus still read the one before; to the first where none is free."""
        place = next(iter(self._free_places(picture, channels, places)), places[0])
        self._last_y = self.layout.division(self.scratch, picture, channels).taken[place]
        return place

    def _region(self, channels: int) -> int:
        """First of ``channels`` with places for coefficients and statistics."""
        return self.recorder.region(self._held(channels))

    def _held(self, channels: int) -> int:
        """Channels in whole groups."""
        return self.layout.groups(channels) * self.layout.group

    def _classifier_pieces(self) -> tuple[list[range], list[range]]:
        """Classes and inputs that the classifier takes at once.

        Of each input local memory holds numbers of all images twice (features and their gradient) and of all
        classes three times (weights, their gradient and what it comes onto).
        """
        layout, images, inputs = self.layout, self.layout.images, self._features_count()
        classes = layout.parameter("classifier.bias").size // 4
        least = min(inputs, layout.group)
        most = self._classifier_room() // 2 // (3 * least + images) // PAIR * PAIR
        if most < classes and classes % PAIR:
            raise ContractError(
                f"classifier has {classes} outputs; allowed: up to {most}, or an even number beyond"
            )
        most = min(most, classes)
        together = (self._classifier_room() - most * images) // (2 * images + 3 * most)
        if together < inputs:
            together = max(together // layout.group, 1) * layout.group
        return pieces(classes, most), pieces(inputs, together)

    def _feature_pieces(self) -> list[range]:
        """Images whose features local memory holds at once; their words of scratch have short addresses."""
        inputs, end = self._features_count(), self.layout.blocks[-1].main[-1]
        step = IN_WORDS // math.gcd(IN_WORDS, end.output.tiles * self._held(inputs))
        most = max(self._classifier_room() // 2 // inputs // step, 1) * step
        return pieces(self.layout.images, most)

    def _features_count(self) -> int:
        return self.layout.blocks[-1].main[-1].conv.out_channels

    def _classifier_room(self) -> int:
        """Local words for what the classifier takes at once: half, as the next come meanwhile."""
        return (LOCAL_ROOM - self.layout.unit_words) // 2

    def _clear(self, first: int, count: int) -> None:
        """Coefficients of the channels that a last group lacks: all that they make is 0."""
        beyond = self._held(count) - count
        for field in Coefficient if beyond else ():
            value = integer(LEAST_NOISE_SHIFT) if field is Coefficient.TOTAL_SHIFT else ZERO
            self.v.copy(value, to=coefficient(field, first + count, beyond), count=beyond)

    def _shift(self, plan: ConvPlan, inputs: Codes, sums: Vector, first: int) -> Vector:
        """Shift of a forward product, among the coefficients."""
        largest = of_slot(
            inputs.slot, SlotConstant.LARGEST if inputs.slot == IMAGE_SLOT else SlotConstant.TOP
        )
        to = coefficient(Coefficient.SHIFT, first, plan.conv.out_channels)
        return self.v.drain_shift(sums, largest, to=to)

    def _again(self, plan: ConvPlan, inputs: Codes, place: int) -> Tensor:
        """y of a convolution once more: from memory, or from its product."""
        home, count = self.layout.homes[plan.layer.index], plan.conv.out_channels
        if home:
            return Tensor(place, home)
        first = self._region(count)
        _, sums = self._drain_coefficients(plan.codes_of, count, first)
        self._shift(plan, inputs, sums, first)
        return self._y(plan, inputs, place, first)

    def _y(self, plan: ConvPlan, inputs: Codes, place: int, first: int) -> Tensor:
        """y of a convolution; ``first``: channel from which its product's coefficients are."""
        product = self.products.forward(plan, inputs)
        shape = plan.output, plan.conv.out_channels
        again = partial(self.lanes.again, plan.slot, product, *shape, first, place)
        home = self.layout.homes[plan.layer.index]
        return Tensor(place, home, None if home else again)

    def _drain_coefficients(self, codes_of: Piece, count: int, first: int) -> tuple[Vector, Vector]:
        """Zeros of weights to the coefficients; their scale and sums."""
        v = self.v
        self._clear(first, count)
        record = self.moves.load(codes_of)
        zero, scale, sums = (record.at(part * count, count) for part in range(3))
        v.copy(zero, to=coefficient(Coefficient.ZERO, first, count))
        return scale, sums


def pieces(count: int, most: int) -> list[range]:
    """``count`` numbers in order, at most so many at once."""
    return [range(first, min(first + most, count)) for first in range(0, count, most)]
