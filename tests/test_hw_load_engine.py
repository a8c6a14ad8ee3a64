"""cpt.hw.load.engine: halves of operand A's buffer hold the weights and errors that the model names."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hw_load import START, Rig
from hw_streams import simulate, stream_put
from step_networks import layer, network, widening

from cpt.host.compiler.lifetimes import Listing
from cpt.host.compiler.memory import BATCH, STATIC
from cpt.host.compiler.network import LAST_BACKWARD, ONLY_FORWARD, compiled
from cpt.host.compiler.plan import ERROR_SLOT
from cpt.hw.contract import ArrayConfig, preset
from cpt.hw.contract.step import Code, Engine, Word, decode, encode
from cpt.hw.contract.tiles import CodesLayout, Picture
from cpt.model.golden.fabric.network import Block

WIDE = ArrayConfig("wide", rows=16, word_bits=144, cols=32, a_depth_words=32, b_depth_words=32)
"""The shape of zc706, where a row of 8 pixels is half of a ninth."""


def loads(listing: Listing) -> list[Word]:
    """LOAD_A and LOAD_E of a list, without what they wait for."""
    some = [word for word in listing.decoded() if word.code in (Code.LOAD_A, Code.LOAD_E)]
    return [Word(word.code, {**word.values, "wait0_engine": 0, "wait1_engine": 0}) for word in some]


def of_errors(config: ArrayConfig, height: int, width: int, groups: int, images: int, **more: int) -> Word:
    """A LOAD_E of a whole tensor of errors, but for what ``more`` says."""
    picture = Picture(config, height, width)
    fields = {
        "slot": ERROR_SLOT,
        "images": images,
        "groups": groups,
        "pitch_log2": picture.pitch.bit_length() - 1,
        "strips": picture.strips,
        "planes": 8,
        "height": height,
        "width": width,
        "rows": height,
        "offset": START,
    }
    return decode(encode(Code.LOAD_E, **{**fields, **more}))


def of_weights(config: ArrayConfig, tiles: int, ksteps: int, **more: int) -> Word:
    """A LOAD_A of weights that lie one after the other, but for what ``more`` says."""
    plane = ksteps * config.group_bytes("a")
    fields = {"slot": 1, "tiles": tiles, "ksteps": ksteps, "offset": START}
    fields |= {"plane_stride": plane, "tile_stride": 16 * plane}
    return decode(encode(Code.LOAD_A, **{**fields, **more}))


def shapes(name: str) -> tuple[tuple[Block, ...], int]:
    """A network with several groups, sets of images and chunks of rows on ``name``, and its images."""
    if name == "tiny":
        return widening(4, 12), 6
    wide = (
        Block("stem", (layer(0, "stem", (1, 8), 16),)),
        Block("down", (layer(1, "first", (8, 16), 16, 2),)),
    )
    return wide, 9


@pytest.mark.parametrize(("name", "stall", "bits"), [("tiny", 0.2, (3, 5)), ("middle", 0.0, (2, 3))])
def test_blocks_of_a_compiled_network_hold_what_the_model_says(
    name: str, stall: float, bits: tuple[int, int]
) -> None:
    config = preset(name)
    blocks, images = shapes(name)
    programs = compiled(config, network(blocks), images=images, micro_batches=1, scratch_words=4 * 2048)
    sizes = programs.layout.memory.sizes
    rig = Rig(config, 3, stall, sizes[STATIC] + sizes[BATCH])
    rig.state.bases[STATIC], rig.state.bases[BATCH] = START, START + sizes[STATIC]
    for slot in range(8):
        rig.slot(slot, bits[0])
    rig.slot(ERROR_SLOT, bits[1], signed=True)
    forward, backward = (loads(programs.lists[name]) for name in (ONLY_FORWARD, LAST_BACKWARD))
    backward = backward[::4]
    rig.words = [*forward[1:3], *backward]
    errors = [word for word in backward if word.code is Code.LOAD_E]
    assert len(errors) < len(backward)
    assert {word.image_group for word in errors} == set(range(-(-images // 4)))
    assert max(word.row for word in errors) > 0
    rig.run()


def test_errors_of_some_groups_and_rows_come_alone() -> None:
    config = preset("tiny")
    rig = Rig(config, 5, 0.3)
    rig.slot(1, 2)
    rig.slot(ERROR_SLOT, 3, signed=True)
    stride = CodesLayout(Picture(config, 8, 8), 4, 8).group_stride
    rig.words = [
        of_errors(config, 5, 8, 2, 3, all_groups=5, offset=START + 2 * stride),
        of_weights(config, 2, 3),
        of_errors(config, 4, 8, 2, 7, image_group=1, row=1, rows=2),
        of_errors(config, 4, 7, 2, 4, row=3, rows=1),
        of_weights(config, 1, 1),
        of_weights(config, 1, 2),
        of_errors(config, 3, 6, 1, 1),
    ]
    rig.run()


def test_strips_of_a_row_of_errors_come_side_by_side() -> None:
    config = preset("middle")
    rig = Rig(config, 6, 0.3)
    rig.slot(1, 2)
    rig.slot(ERROR_SLOT, 3, signed=True)
    stride = CodesLayout(Picture(config, 3, 20), config.group_channels, 8).group_stride
    rig.words = [
        of_errors(config, 3, 20, 2, 3, all_groups=3, offset=START + stride),
        of_errors(config, 4, 40, 1, 2, image_group=1, row=1, rows=2),
        of_weights(config, 2, 3),
        of_errors(config, 2, 64, 2, 1),
        of_errors(config, 5, 12, 1, 1),
    ]
    rig.run()


def test_half_ninths_are_written_alone() -> None:
    rig = Rig(WIDE, 7, 0.1)
    rig.slot(1, 1)
    rig.slot(ERROR_SLOT, 1, signed=True)
    rig.words = [
        of_weights(WIDE, 1, 1),
        of_weights(WIDE, 1, 2),
        of_errors(WIDE, 2, 7, 1, 3),
        of_errors(WIDE, 1, 30, 1, 5, image_group=1),
    ]
    rig.run()


def test_a_block_begins_when_the_one_before_the_last_was_given_back() -> None:
    config = preset("tiny")
    rig = Rig(config, 9, 0.0)
    rig.slot(1, 2)
    rig.slot(ERROR_SLOT, 2)
    weights, errors = of_weights(config, 1, 2), of_errors(config, 2, 8, 1, 2)
    rig.words = [weights, errors, errors, weights, weights, errors]
    rig.release_after = 400
    rig.run()


def test_a_block_waits_for_the_marks_that_it_names() -> None:
    config = preset("tiny")
    rig = Rig(config, 11, 0.0)
    rig.slot(1, 2)
    waits = {"wait1_engine": int(Engine.STORE), "wait1_first": 7}
    rig.words = [of_weights(config, 1, 2), of_weights(config, 1, 2, **waits)]
    rig.run(mark=(Engine.STORE, 7, 400))
    assert rig.loaded[0] < 150
    assert 400 < rig.loaded[1] < 480


def test_errors_come_through_both_ports_and_weights_through_the_first() -> None:
    config = preset("tiny")
    rig = Rig(config, 15, 0.0)
    rig.slot(1, 2)
    rig.slot(ERROR_SLOT, 3, signed=True)
    rig.words = [of_errors(config, 4, 8, 2, 3)]
    rig.run()
    first, second = (memory.beats for memory in rig.memories)
    assert first == second > 0
    rig = Rig(config, 15, 0.0)
    rig.slot(1, 2)
    rig.words = [of_weights(config, 2, 3)]
    rig.run()
    assert [memory.beats > 0 for memory in rig.memories] == [True, False]


@pytest.mark.parametrize("port", [0, 1])
def test_an_error_response_of_either_port_is_reported(port: int) -> None:
    config = preset("tiny")
    rig = Rig(config, 15, 0.0)
    rig.slot(ERROR_SLOT, 3, signed=True)
    rig.memories[port].resp = 2
    rig.words = [of_errors(config, 4, 8, 2, 3)]
    rig.run()
    assert rig.errors == rig.memories[port].beats > 0


@pytest.mark.parametrize("kind", [Code.LOAD_A, Code.LOAD_E])
def test_a_run_outside_of_the_window_is_not_asked_for(kind: Code) -> None:
    config = preset("tiny")
    rig = Rig(config, 13, 0.0)
    rig.slot(1, 2)
    rig.slot(ERROR_SLOT, 2)
    word = of_weights(config, 1, 2) if kind is Code.LOAD_A else of_errors(config, 4, 8, 1, 2)
    engine = rig.engine
    limit = START + (2 * config.group_bytes("a") if kind is Code.LOAD_A else 16)

    async def bench(ctx: Any) -> None:
        # The first run fits, the second does not.
        ctx.set(engine.window, {"base": START, "limit": limit})
        await stream_put(ctx, engine.commands, [rig.command(word)], random.Random(1), 0)
        ports = (engine.ar_0, engine.ar_1)
        for port in ports:
            ctx.set(port.ready, 1)
        for _ in range(200):
            _, _, *said = await ctx.tick().sample(
                *(item for port in ports for item in (port.valid, port.payload))
            )
            for memory, valid, address in zip(rig.memories, said[::2], said[1::2], strict=True):
                memory.bursts += [(address.addr, address.len + 1)] * valid
        assert ctx.get(engine.leaves)
        assert not ctx.get(engine.misaligned)
        assert not ctx.get(engine.idle)

    simulate(engine, bench)
    found = [burst for memory in rig.memories for burst in memory.bursts]
    assert found
    assert all(address + 8 * beats <= limit for address, beats in found)
