"""cpt.sim.step.timeline: how long lists take where it can be worked out, and what makes them longer."""

from __future__ import annotations

import argparse
import gc
import json
from dataclasses import replace

import pytest
from amaranth.hdl import UnusedElaboratable
from test_step_network import fabric, network

from cpt.host.compiler.network import (
    EVALUATE,
    FIRST_BACKWARD,
    FIRST_FORWARD,
    LAST_BACKWARD,
    SECOND_FORWARD,
    UPDATE,
    compiled,
)
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.floats import Op
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.order import tile_cycles
from cpt.hw.contract.passes import Apply, Drain
from cpt.hw.contract.step import WORD_BYTES, Code, Engine, decode, encode
from cpt.sim.step.__main__ import described, main
from cpt.sim.step.costs import Costs
from cpt.sim.step.float_cycles import Queue, float_cycles
from cpt.sim.step.state import Slot
from cpt.sim.step.timeline import LANES, MEMORY, Timeline, Timing
from cpt.sim.step.timing.program import DISPATCH_CYCLES, LIST_CYCLES, ROOM_CYCLES

CONFIG = replace(preset("middle"), scratch_words=8192)
GROUP = CONFIG.group_channels


def timed(*words: bytes, fw: int = 4, memory_bytes: float = 16, latency: int = 0) -> Timing:
    slots = {0: Slot(fw, False), 1: Slot(fw, False), 2: Slot(8, True)}
    return Timeline(Costs(CONFIG, slots), memory_bytes=memory_bytes, latency=latency).run(b"".join(words))


def copy(n: int = 1, reps: int = 1, **fields: int) -> bytes:
    return encode(Code.FLOAT, op=int(Op.COPY), n=n, reps=reps, to_moves=1, **fields)


def product(images: int = 2, ksteps: int = 4, a_tiles: int = 2) -> list[bytes]:
    """A forward product of 16 x 16 pixels: a load, a fetch, an EXEC and its DRAIN."""
    tiles = 16
    shape = {"height": 16, "width": 16, "out_height": 16, "out_width": 16, "strips": 1, "out_strips": 1}
    pitches = {"pitch_log2": 4, "out_pitch_log2": 4}
    return [
        encode(Code.LOAD_A, slot=0, tiles=a_tiles, ksteps=ksteps),
        encode(Code.FETCH, slot=1, kernel=1, images=images, groups=ksteps, planes=8, **pitches, **shape),
        encode(Code.EXEC, slot_a=0, slot_b=1, ksteps=ksteps, a_tiles=a_tiles, tiles=images * tiles),
        encode(
            Code.DRAIN,
            kind=int(Drain.FORWARD),
            a_tiles=a_tiles,
            tiles=tiles,
            images=images,
            pitch_log2=4,
            strips=1,
        ),
    ]


def test_instructions_of_one_engine_follow_each_other() -> None:
    words = [copy(100), copy(3, 5), copy(30)]
    found = timed(*words)
    queue = Queue(CONFIG.float_lanes)
    for number, word in enumerate(words):
        pushed = LIST_CYCLES + number * DISPATCH_CYCLES
        begun, ended = queue.run(decode(word), max(pushed + 1, queue.ready))
        moment = found.moments[number]
        assert (moment.begun, moment.ended) == (begun, ended)
    assert found.cycles == ended


def test_the_classifier_s_chains_do_not_wait_for_each_term() -> None:
    trainer, _ = fabric(preset("tiny"), network())
    words = trainer.lists[EVALUATE]
    found = [decode(words[at : at + WORD_BYTES]) for at in range(0, len(words), WORD_BYTES)]
    chains = [
        word
        for word in found
        if word.code is Code.FLOAT and word.op == Op.MULTIPLY_ADD and word.a_stride > 1 and word.reps > 1
    ]
    assert chains
    lanes = preset("tiny").float_lanes
    for word in chains:
        alone = replace(word, values={**word.values, "n": 1, "reps": 1})
        assert float_cycles(word, lanes) <= float_cycles(alone, lanes) + 2 * word.n * word.reps


def test_vectors_of_the_update_begin_where_the_lanes_do() -> None:
    config = preset("zc706")
    listing = compiled(config, network(), images=2, micro_batches=2, scratch_words=16384).lists[LAST_BACKWARD]
    words = [word for word, part in zip(listing.decoded(), listing.parts, strict=True) if part == UPDATE]
    vectors = [word for word in words if word.code is Code.FLOAT and word.n > 100]
    assert vectors
    assert config.float_lanes == 4
    for word in vectors:
        assert float_cycles(word, 4) < word.n * word.reps // 4 + 80, word


def test_short_instructions_take_the_dispatch_s_pace() -> None:
    moments = timed(*[copy(3)] * 5).moments
    assert [moment.pushed for moment in moments] == [LIST_CYCLES + n * DISPATCH_CYCLES for n in range(5)]


def test_a_full_queue_holds_back_what_stands_behind() -> None:
    full = MACHINE.float_queue_instructions
    moments = timed(*[copy(1000)] * (full + 3), encode(Code.BRING, kind=2, words=2, runs=1)).moments
    assert moments[full + 2].pushed == moments[2].taken + ROOM_CYCLES
    assert moments[full + 3].pushed == moments[full + 2].pushed + DISPATCH_CYCLES


@pytest.mark.parametrize("fw", [3, 8])
def test_the_array_is_what_a_long_product_takes(fw: int) -> None:
    found = timed(*product(), fw=fw)
    array = 2 * 16 * 2 * tile_cycles(fw, fw, False, False, 4)
    assert found.busy["EXEC"] == array
    assert found.busy[LANES] == found.busy["DRAIN"] == 2 * 16 * 2 * (GROUP + 1)
    # Before it both blocks at most, beside the first windows; after it the last tile's words.
    assert array + GROUP < found.cycles < array + found.busy["LOAD"] + 200
    assert found.read == 2 * fw * 4 * CONFIG.group_bytes("a") + 2 * 16 * 4 * fw * CONFIG.cols * GROUP // 8


def test_slow_memory_is_what_a_product_of_few_bits_takes() -> None:
    found = timed(*product(a_tiles=1), fw=3, memory_bytes=0.5)
    assert found.busy[MEMORY] == pytest.approx(found.read / 0.5, rel=0.01)
    assert found.busy[MEMORY] <= found.cycles < found.busy[MEMORY] * 1.1
    assert found.waits["EXEC"]["FETCH"] > found.cycles / 2


def waiting_apply(first: int, step: int) -> bytes:
    return encode(
        Code.APPLY,
        kind=int(Apply.COUNT),
        groups=2,
        images=2,
        tiles=16,
        wait0_engine=int(Engine.DRAIN),
        wait0_first=first,
        wait0_step=step,
    )


def test_a_pass_that_follows_tile_by_tile_ends_earlier() -> None:
    whole = timed(*product(), waiting_apply(2 * 16 * 2, 0))
    follows = timed(*product(), waiting_apply(2, 2))
    assert whole.cycles > timed(*product()).cycles + 2 * 16 * 2 * GROUP
    assert follows.cycles < whole.cycles - 2 * 16 * GROUP


def codes(groups: int, tiles: int = 64) -> bytes:
    shape = {"width": 16, "pitch_log2": 4, "strips": 1, "rows_last": 1, "images": 1, "tiles": tiles}
    fields = {"slot": 2, "planes": 8, "groups": groups, "channels": groups * GROUP, **shape}
    return encode(Code.APPLY, kind=int(Apply.CODE), **fields)


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_codes_leave_through_both_ports(groups: int) -> None:
    found = timed(codes(groups), memory_bytes=32)
    beats = 64 * groups * 8 * CONFIG.cols * GROUP // 64
    assert found.written == 8 * beats
    assert beats / 2 < found.cycles < 0.8 * beats
    assert timed(codes(groups), memory_bytes=8).cycles > beats


def test_marks_of_tiles_come_in_order_though_one_port_is_late() -> None:
    short = [moment.ended for moment in timed(codes(1, 1), codes(3, 5), codes(1, 1), latency=90).moments]
    assert short == sorted(short)
    assert short[2] > short[1]


def test_a_wait_for_what_never_comes_is_one_line() -> None:
    with pytest.raises(ContractError, match="program stands still"):
        timed(copy(wait0_engine=int(Engine.STORE), wait0_first=1))


def test_all_lists_of_a_network_end_and_follow_their_bits() -> None:
    trainer, machine = fabric(preset("tiny"), network())
    cycles: dict[int, list[int]] = {}
    for fw in (3, 8):
        trainer._set_bits(fw, 8)
        config = replace(preset("tiny"), scratch_words=len(machine.state.scratch))
        timeline = Timeline(Costs(config, machine.state.slots), memory_bytes=16, latency=60)
        for name in (FIRST_FORWARD, SECOND_FORWARD, FIRST_BACKWARD, LAST_BACKWARD):
            found = timeline.run(trainer.lists[name])
            assert all(busy <= found.cycles for busy in found.busy.values())
            cycles.setdefault(fw, []).append(found.cycles)
    assert all(few <= many for few, many in zip(cycles[3], cycles[8], strict=True))
    assert cycles[3][2] < cycles[8][2]


def test_the_command_prints_a_row_for_each_list(capsys: pytest.CaptureFixture[str]) -> None:
    network_of = ["--preset", "tiny", "--width", "4", "--size", "8", "--micro-batch", "2", "--batch", "4"]
    assert main([*network_of, "--fw", "3", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["list"], row["times"]) for row in found] == [
        ("first forward", 1),
        ("second forward", 1),
        ("first backward", 1),
        ("last backward", 1),
    ]
    assert main([*network_of, "--fw", "3"]) == 0
    table = capsys.readouterr().out
    assert f"{found[1]['cycles']:>10}" in table
    assert max(map(len, table.splitlines())) <= 80
    with pytest.raises(SystemExit) as stopped:
        main(["--depth", "9"])
    assert stopped.value.code == 2
    with pytest.raises(SystemExit) as stopped:
        main(["--network", "mobilenetv2", "--multiplier", "1", "--preset", "tiny"])
    assert stopped.value.code == 2
    assert "has 576 channels; allowed: 508" in capsys.readouterr().err


def test_the_command_knows_mobilenet_by_name() -> None:
    options = argparse.Namespace(network="mobilenetv2", multiplier=0.4, size=32)
    found, called = described(options)
    assert called == "mobilenetv2 of 0.4 times its width"
    assert max(layer.shape.out_channels for layer in found.layers) == 512
    assert sum(layer.depthwise for layer in found.layers) == 17


def test_blocks_that_are_only_asked_for_their_cycles_say_nothing_on_the_terminal(
    recwarn: pytest.WarningsRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Amaranth warns once a design was elaborated, as that of the RTL check is."""
    gc.collect()
    recwarn.clear()
    monkeypatch.setattr(UnusedElaboratable, "_MustUse__silence", False)
    timed(*product())
    gc.collect()
    assert not [found for found in recwarn if issubclass(found.category, UnusedElaboratable)]
