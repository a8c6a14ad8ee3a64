"""cpt.sim.step.trace: every cycle of every engine is one thing, and the sums are what the timeline knows."""

from __future__ import annotations

import random

import numpy as np
import pytest

from cpt.host.compiler.network import Programs, compiled
from cpt.host.fabric import precision_slots
from cpt.hw.contract import preset
from cpt.hw.contract.floats import Op
from cpt.hw.contract.machine import MACHINE
from cpt.hw.contract.step import WORD_BYTES, Code, Engine, decode, encode
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.network import Network
from cpt.sim.memory import memory_model
from cpt.sim.step.called import bits_of, called
from cpt.sim.step.costs import Costs
from cpt.sim.step.forecast import timeline
from cpt.sim.step.observed import Seen, SeenList
from cpt.sim.step.state import Slot
from cpt.sim.step.timeline import Timeline
from cpt.sim.step.timing.lanes import Pipeline
from cpt.sim.step.timing.run import MARK_CYCLES, PROGRAM
from cpt.sim.step.trace import (
    BUSY,
    IDLE,
    NONE,
    OWN,
    STATES,
    UNDER_WAY,
    Span,
    Track,
    coarser,
    of_model,
    of_rtl,
)

TINY = preset("tiny", "step")
EXACT = ("EXEC", "DRAIN", "APPLY", "FLOAT")
"""Engines whose busy cycles the model knows one by one; those of others have waits in them."""


@pytest.fixture(scope="module")
def programs() -> Programs:
    """Of a small network with strides, shortcuts and blocks that keep their input."""
    numbers = np.ones(1, np.float32), np.zeros(1, np.float32)
    network = Network.residual(cifar_resnet(8, 10, 8, 1, 4), *numbers)
    words = TINY.scratch_words
    return compiled(TINY, network, images=2, micro_batches=3, scratch_words=words)


def times(programs: Programs, bits: tuple[int, int], memory: str = "ps-ddr") -> Timeline:
    slots = precision_slots(programs.layout.network, *bits)
    held = {slot: Slot(width, signed) for slot, (width, signed) in slots.items()}
    return timeline(TINY, memory_model(memory, TINY.clock_mhz), held)


def check(track: Track, cycles: int) -> None:
    """Spans from 0 to the end, one after the other, and each another than the one before."""
    assert [span.begin for span in track.spans] == [0, *(span.end for span in track.spans[:-1])]
    assert track.spans[-1].end == cycles
    assert all(span.begin < span.end for span in track.spans)
    assert track.sums().total() == cycles
    assert all((span.number == NONE) == (span.what == IDLE) for span in track.spans)


@pytest.mark.parametrize(("bits", "memory"), [((3, 8), "ps-ddr"), ((8, 8), "ideal"), ((5, 2), "pl-ddr")])
def test_every_cycle_of_every_list_is_one_thing(
    programs: Programs, bits: tuple[int, int], memory: str
) -> None:
    machine = times(programs, bits, memory)
    for name, listing in programs.lists.items():
        found = machine.run(listing.words, logged=True)
        tracks = of_model(found)
        assert [track.name for track in tracks] == [PROGRAM, *(engine.name for engine in Engine)]
        for track in tracks:
            check(track, found.cycles)
            busy = track.sums()[BUSY]
            if track.name in EXACT:
                assert busy == found.busy[track.name], (name, track.name)
            elif track.name != PROGRAM:
                assert (busy > 0) == (found.busy[track.name] > 0), (name, track.name)
                assert busy <= found.busy[track.name], (name, track.name)
            numbers = {span.number for span in track.spans} - {NONE}
            mine = [moment.number for moment in found.moments if moment.engine.name == track.name]
            if track.name != PROGRAM:
                assert numbers == set(mine), (name, track.name)
        array = next(track for track in tracks if track.name == "EXEC")
        assert array.sums()["DRAIN"] == found.waits["EXEC"]["DRAIN"]


def test_a_log_changes_nothing_else(programs: Programs) -> None:
    machine = times(programs, (3, 8))
    for listing in programs.lists.values():
        plain, logged = machine.run(listing.words), machine.run(listing.words, logged=True)
        assert plain.log is None
        assert logged.log is not None
        logged.log = None
        assert plain == logged


def test_waits_name_no_engine_for_itself_and_work_lies_within_its_instruction(programs: Programs) -> None:
    whats = set()
    for name in ("forward", "backward"):
        found = times(programs, (8, 8)).run(programs.lists[name].words, logged=True)
        for track in of_model(found):
            assert track.name not in track.sums()
            for span in track.spans:
                whats.add(span.what)
                if span.what == BUSY and track.name != PROGRAM:
                    moment = found.moments[span.number]
                    assert moment.taken < span.begin
                    # FETCH takes rows of its source that no output needs, once its last slot is complete.
                    assert span.end <= moment.ended or track.name == "FETCH", (track.name, span)
    assert {"EXEC", "FETCH", "LOAD", "DRAIN", "FLOAT", "memory", "packers", PROGRAM} <= whats


def copy(n: int, **fields: int) -> bytes:
    return encode(Code.FLOAT, op=int(Op.COPY), n=n, reps=1, to_moves=1, **fields)


def test_two_instructions_of_the_float_engine_span_by_span() -> None:
    machine = Timeline(Costs(TINY, {}), memory_bytes=16, latency=7)
    found = machine.run(copy(40) + copy(3), logged=True)
    tracks = {track.name: track for track in of_model(found)}
    first, second = found.moments
    assert tracks["FLOAT"].spans == [
        Span(0, first.taken, PROGRAM, 0),
        Span(first.taken, first.begun, OWN, 0),
        Span(first.begun, first.ended, BUSY, 0),
        Span(first.ended, second.ended, BUSY, 1),
    ]
    assert tracks["EXEC"].spans == [Span(0, found.cycles, IDLE, NONE)]


def test_the_program_waits_for_whose_queue_is_full() -> None:
    machine = Timeline(Costs(TINY, {}), memory_bytes=16, latency=7)
    behind = 30
    found = machine.run(copy(400) * (MACHINE.float_queue_instructions + behind), logged=True)
    sums = of_model(found)[0].sums()
    assert sums["FLOAT"] > (behind - 3) * found.moments[0].busy
    assert set(sums) <= {BUSY, OWN, IDLE, "FLOAT"}


def test_slots_of_an_apply_lie_between_those_of_the_drain() -> None:
    rng = random.Random(5)
    for _ in range(300):
        pipeline, at = Pipeline(), 0
        for _ in range(rng.randrange(6)):
            at += rng.randrange(9)
            pipeline.drained(at, size := rng.randint(1, 8))
            at += size
        first, slots = rng.randrange(30), rng.randint(1, 20)
        pieces = [piece for piece in pipeline.pieces(first, slots) if piece[1] > piece[0]]
        drained = {cycle for begin, end in pipeline.taken for cycle in range(begin, end)}
        cycles = [cycle for begin, end in pieces for cycle in range(begin, end)]
        assert len(cycles) == len(set(cycles)) == slots
        assert not drained & set(cycles)
        assert pieces[-1][1] == pipeline.free(first, slots)


def test_what_is_coarser_has_fewer_spans_and_the_same_sums(programs: Programs) -> None:
    found = times(programs, (8, 8)).run(programs.lists["backward"].words, logged=True)
    for track in of_model(found):
        short = coarser(track)
        assert short.sums() == track.sums()
        assert len(short.spans) <= len(track.spans)
        check(short, found.cycles)
    assert sum(len(coarser(track).spans) for track in of_model(found)) < len(found.moments) * 6


def test_marks_of_the_rtl_say_what_was_under_way_and_what_was_waited_for() -> None:
    wait = {"wait0_engine": int(Engine.FLOAT), "wait0_first": 1}
    words = [decode(word) for word in (copy(9), encode(Code.BRING, kind=2, words=2, runs=1, **wait))]
    seen = SeenList(
        "a list",
        [
            Seen(words[0], Engine.FLOAT, pushed=50, taken=51, marks=[200]),
            Seen(words[1], Engine.BRING, pushed=64, taken=65, marks=[300]),
        ],
    )
    tracks = {track.name: track for track in of_rtl(seen)}
    for track in tracks.values():
        check(track, 300)
    opened = 200 + MARK_CYCLES
    assert tracks["FLOAT"].spans == [
        Span(0, 51, PROGRAM, 0),
        Span(51, 200, UNDER_WAY, 0),
        Span(200, 300, IDLE, NONE),
    ]
    assert tracks["BRING"].spans == [
        Span(0, 65, PROGRAM, 1),
        Span(65, opened, "FLOAT", 1),
        Span(opened, 300, UNDER_WAY, 1),
    ]


def test_instructions_have_names_and_bits(programs: Programs) -> None:
    costs = times(programs, (3, 7)).costs
    words = programs.lists["backward"].words
    found = [decode(words[at : at + WORD_BYTES]) for at in range(0, len(words), WORD_BYTES)]
    names = {called(word): bits_of(costs, word) for word in found}
    assert names["LOAD_E"] == names["APPLY ERROR"] == "7"
    assert names["EXEC_DW"] in ("7 x 3", "7 x 8")
    assert names["BRING LOCAL"] == names["DRAIN GRADIENT"] == ""
    assert not any(name in STATES for name in names)
