"""cpt.sim.step.moves and the compiler: what a bus cannot move in whole beats is refused, never asked for."""

from __future__ import annotations

import numpy as np
import pytest

from cpt.host.compiler.network import compiled
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.passes import Bring, Store
from cpt.hw.contract.step import Code, Word
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.network import Network
from cpt.sim.step.moves import Moves
from cpt.sim.step.state import State

LOCAL = {(Code.BRING, Bring.LOCAL), (Code.STORE, Store.LOCAL)}


def network(width: int, classes: int) -> Network:
    arch = cifar_resnet(8, classes=classes, image_size=8, image_channels=3, width=width)
    return Network.residual(arch, np.full(3, 0.05, np.float32), np.zeros(3, np.float32), 1)


def moves(width: int, classes: int) -> list[Word]:
    programs = compiled(
        preset("tiny"), network(width, classes), images=1, micro_batches=1, scratch_words=1 << 13
    )
    words = [word for listing in programs.lists.values() for word in listing.decoded()]
    return [word for word in words if word.code in (Code.BRING, Code.STORE)]


@pytest.mark.parametrize(
    "change",
    [{"words": 3}, {"place": 5}, {"place_stride": 7, "runs": 2}, {"offset": 4}, {"stride": 12, "runs": 2}],
)
def test_a_move_of_local_memory_that_is_not_whole_beats_is_refused(change: dict[str, int]) -> None:
    state = State(preset("tiny"), 1 << 10, 64)
    fields = {"words": 4, "runs": 1, "place": 0, "place_stride": 0, "stride": 0, "offset": 0, "base": 0}
    for code, kind, move in (
        (Code.STORE, Store.LOCAL, Moves(state).store),
        (Code.BRING, Bring.LOCAL, Moves(state).bring),
    ):
        word = {"kind": int(kind), **fields}
        move(Word(code, word))
        with pytest.raises(ContractError, match=r"allowed: (pairs of words|whole beats)"):
            move(Word(code, word | change))


@pytest.mark.parametrize("classes", [3, 10])
def test_a_network_with_odd_vectors_moves_whole_beats(classes: int) -> None:
    found = moves(4, classes)
    local = [word for word in found if (word.code, word.kind) in LOCAL]
    packs = [word for word in found if (word.code, word.kind) == (Code.STORE, Store.PACK)]
    assert len(local) > 100
    assert not any(word.words % 2 or word.place % 2 or word.place_stride % 2 for word in local)
    assert not any(word.offset % 8 or word.stride % 8 for word in found if word not in packs)


def test_odd_output_channels_are_refused() -> None:
    with pytest.raises(ContractError, match="has 5 output channels; allowed: even numbers"):
        moves(5, 3)
