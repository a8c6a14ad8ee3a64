"""cpt.host.compiler.weaving: two lists as one, each in its own order, what meets in the order of both."""

from __future__ import annotations

import pytest
from step_networks import network, widening

from cpt.host.compiler.builder import Region
from cpt.host.compiler.lifetimes import Names, Recorder
from cpt.host.compiler.network import (
    BACKWARD,
    EVALUATE,
    FIRST_BACKWARD,
    FIRST_FORWARD,
    FORWARD,
    LAST_BACKWARD,
    ONLY_FORWARD,
    PREPARE,
    SECOND_FORWARD,
    UPDATE,
    compiled,
    of_step,
)
from cpt.host.compiler.vectors import Vectors, number
from cpt.host.compiler.weaving import woven
from cpt.hw.contract import preset
from cpt.hw.contract.passes import Store
from cpt.hw.contract.step import Code

TINY = preset("tiny")
EXEC = {"slot_b": 1, "tiles": 8, "a_tiles": 1, "ksteps": 4}


def products(names: Names, count: int, *, writes: int) -> Recorder:
    """So many products of 2,048 cycles; the one with number ``writes`` writes where `stores` do."""
    recorder = Recorder(TINY, 0, 512, names)
    v = Vectors(recorder)
    for place in range(count):
        v.copy(number(1.0), count=8)
        recorder.add(Code.EXEC, [], [Region("memory", 0, 64)] if place == writes else [], **EXEC)
    return recorder


def stores(names: Names, count: int) -> Recorder:
    """So many FLOATs and STOREs of what they make, to the same memory."""
    recorder = Recorder(TINY, 0, 512, names, "once")
    v = Vectors(recorder)
    for _ in range(count):
        made = v.copy(number(1.0), count=8)
        local = Region("local", made.address, made.address + 8)
        fields = {"kind": int(Store.LOCAL), "words": 8, "runs": 1, "place": made.address}
        recorder.add(Code.STORE, [local], [Region("memory", 32, 64)], **fields)
    return recorder


def order(recorder: Recorder) -> list[str]:
    """What stands where: products, and what was woven between them."""
    codes = [item.code.name if item.part else item.code.name.lower() for item in recorder.held]
    return [name for name in codes if name != "float"]


@pytest.mark.parametrize(("writes", "before"), [(-1, True), (0, True), (3, True), (-1, False), (5, False)])
def test_both_keep_their_order_and_what_meets_comes_in_order(writes: int, before: bool) -> None:
    names = Names()
    main, once = products(names, 6, writes=writes), stores(names, 12)
    found = woven(main, once, before=before)
    for part, recorder in (("", main), ("once", once)):
        kept = [(item.code, len(item.touched)) for item in found.held if item.part == part]
        assert kept == [(item.code, len(item.touched)) for item in recorder.held]
    stand = order(found)
    if writes >= 0:
        meets = [place for place, name in enumerate(stand) if name == "exec"][writes]
        others = stand[:meets] if before else stand[meets:]
        assert others.count("STORE") == 12, "all of the list that comes first as a whole"
    found.program()


def test_what_nothing_keeps_is_spread_over_the_products() -> None:
    names = Names()
    found = order(woven(products(names, 6, writes=-1), stores(names, 12), before=True))
    runs = "".join("." if name == "exec" else "s" * (name == "STORE") for name in found).split(".")
    assert runs == ["", *["ss"] * 6]


def test_a_vector_that_lives_on_keeps_its_words_from_the_other_list() -> None:
    main = Recorder(TINY, 0, 512, Names())
    v = Vectors(main)
    long = v.copy(number(1.0), count=8)
    for _ in range(6):
        main.add(Code.EXEC, **EXEC)
    v.add(long, long)
    found = woven(main, stores(main.names, 12), before=True).program()
    places = {"": [], "once": []}
    for word, part in zip(found.decoded(), found.parts, strict=True):
        if word.code is Code.FLOAT:
            places[part].append(word.to)
    first, last = places[""]
    assert first != last
    assert len(places["once"]) == 12
    assert first not in places["once"]


def test_lists_whose_vectors_have_no_room_at_once_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(widening(4, 8))
    sizes = {"images": 2, "micro_batches": 2, "scratch_words": 1 << 13}
    wide = compiled(TINY, net, **sizes).lists
    monkeypatch.setattr("cpt.host.compiler.work.LOCAL_ROOM", 3400)
    narrow = compiled(TINY, net, **sizes).lists
    parts = "".join(part[:1] or "." for part in narrow[LAST_BACKWARD].parts)
    assert set(parts.rstrip("u")) == {"."}
    assert set(wide[LAST_BACKWARD].parts) == set(narrow[LAST_BACKWARD].parts)
    assert wide[LAST_BACKWARD].parts != narrow[LAST_BACKWARD].parts


def test_a_step_makes_codes_once_and_updates_once() -> None:
    assert of_step(1) == ([ONLY_FORWARD], [LAST_BACKWARD])
    assert of_step(2) == ([FIRST_FORWARD, SECOND_FORWARD], [FIRST_BACKWARD, LAST_BACKWARD])
    assert of_step(4)[0] == [FIRST_FORWARD, SECOND_FORWARD, FORWARD, FORWARD]
    assert of_step(4)[1] == [FIRST_BACKWARD, BACKWARD, BACKWARD, LAST_BACKWARD]
    for many in (1, 2, 3):
        lists = compiled(
            TINY, network(widening(4, 8)), images=2, micro_batches=many, scratch_words=1 << 13
        ).lists
        names = list(dict.fromkeys(name for part in of_step(many) for name in part))
        assert list(lists) == [PREPARE, EVALUATE, *names], "memory has them in one order on every machine"
        packs = {
            name: sum(word.code is Code.STORE and word.kind == Store.PACK for word in listing.decoded())
            for name, listing in lists.items()
        }
        parts = {name: set(listing.parts) for name, listing in lists.items()}
        assert parts.pop(LAST_BACKWARD) == {"", UPDATE}
        makers = {FIRST_FORWARD, SECOND_FORWARD, FIRST_BACKWARD, ONLY_FORWARD} & set(names)
        assert {name for name, found in parts.items() if found == {"", PREPARE}} == makers
        assert {name for name, count in packs.items() if count} == {PREPARE, *makers}
