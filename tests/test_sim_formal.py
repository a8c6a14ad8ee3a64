"""cpt.sim.formal: all proofs by induction close, and every property set finds a block made wrong."""

from __future__ import annotations

import pytest
from amaranth import Const

from cpt.hw.contract import ContractError
from cpt.hw.control.queue import Queue
from cpt.sim.formal.__main__ import main
from cpt.sim.formal.catalogue import PROOFS, Fault
from cpt.sim.formal.engine import prove
from cpt.sim.formal.properties import Properties

pytest.importorskip("bitwuzla", reason="the solver comes with the extra sim")

BOUNDED = "loader"
"""Without an induction, and slow; `make formal` runs it too."""


@pytest.mark.parametrize("name", sorted(PROOFS.keys() - {BOUNDED}))
def test_a_proof_closes_by_induction(name: str) -> None:
    outcome = PROOFS[name].run()
    assert (outcome.kind, outcome.broken) == ("proven", ())
    assert outcome.demands > 5


@pytest.mark.parametrize("name", PROOFS)
def test_a_block_made_wrong_breaks_what_its_partners_see(name: str) -> None:
    outcome = PROOFS[name].find(PROOFS[name].faults[0])
    assert outcome.kind == "fails"
    assert outcome.broken
    assert not any(broken.startswith("inside") for broken in outcome.broken)


def test_every_proof_names_a_fault() -> None:
    assert all(item.faults for item in PROOFS.values())


@pytest.mark.parametrize(
    ("signal", "broken"),
    [
        ("done", "a_write_is_answered_in_time"),
        ("gathered", "a_read_is_answered_in_time"),
        ("bus__awready", "aw_is_ready_while_nothing_is_held"),
    ],
)
def test_a_signal_that_is_tied_breaks_what_it_stands_for_and_frees_no_other(signal, broken) -> None:
    (fault,) = (item for item in PROOFS["registers"].faults if signal in item.tied)
    assert PROOFS["registers"].find(fault).broken == (broken,)


def test_a_signal_may_be_tied_by_any_of_its_names() -> None:
    by_port = PROOFS["registers"].find(Fault("by the port's name", {"bus__awready": Const(1)}))
    by_own = PROOFS["registers"].find(Fault("by the register's", {"awready": Const(1)}))
    assert by_port.broken == by_own.broken != ()


def test_a_signal_that_is_not_there_cannot_be_tied() -> None:
    with pytest.raises(ContractError, match="yosys failed"):
        PROOFS["registers"].find(Fault("nowhere", {"nowhere": Const(1)}))


class _Impossible(Properties):
    """Assumes what no queue does, so that its demand holds of nothing."""

    def describe(self) -> None:
        queue = self.block
        self.assume(~queue.i.ready)
        self.demand("nothing", 1)
        self.reach("a push", queue.i.valid & queue.i.ready)


def test_a_property_set_under_which_nothing_happens_is_called_empty() -> None:
    outcome = prove(_Impossible(Queue(4, 4)), 2, induction=True, deadline_s=60)
    assert outcome.kind == "empty"


def test_a_proof_that_runs_out_of_time_is_undecided() -> None:
    outcome = prove(PROOFS["write_master"].build(), 2, induction=True, deadline_s=0)
    assert outcome.kind == "undecided"


def test_a_model_that_is_not_written_in_time_is_undecided(monkeypatch) -> None:
    monkeypatch.setattr("cpt.sim.formal.engine.YOSYS_DEADLINE_S", 0.01)
    outcome = PROOFS["queue_2"].run()
    assert (outcome.kind, outcome.depth) == ("undecided", 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["burts"], "error: proof is 'burts'; allowed: queue_2, "),
        ([], "error: no proof is named; allowed: --all, "),
        (["burst", "--jobs", "0"], "error: --jobs is 0; allowed: 1 or more"),
    ],
)
def test_a_wrong_command_line_gets_one_line(capsys, words, said) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(said)
    assert captured.err.count("\n") == 1
