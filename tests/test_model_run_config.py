"""The records of accelerator and torch runs, as `cpt train` fills them from the same options."""

import dataclasses

import pytest

from cpt.host.config import TrainConfig
from cpt.model.training import TorchConfig


def test_both_kinds_of_run_have_the_same_defaults():
    """``cpt train --help`` shows one default for both."""
    here, there = TrainConfig().as_dict(), TorchConfig().as_dict()
    differing = {name for name in here if here[name] != there[name]}
    assert differing == {"bw"}
    assert there["bw"] == [here["bw"]] * 2


@pytest.mark.parametrize("kind", [TrainConfig, TorchConfig])
def test_an_unknown_shape_is_refused_in_one_line(kind):
    with pytest.raises(kind.error, match=r"^shape is 'triangular' \(which is up_down now\); allowed: "):
        kind(shape="triangular")


@pytest.mark.parametrize("kind", [TrainConfig, TorchConfig])
def test_a_record_lists_its_fields_in_the_order_they_are_declared(kind):
    assert list(kind().as_dict()) == [field.name for field in dataclasses.fields(kind)]


@pytest.mark.parametrize("kind", [TrainConfig, TorchConfig])
def test_a_field_that_an_earlier_versions_record_lacks_had_its_default(kind):
    record = kind().as_dict()
    del record["max_shift"]
    assert kind().difference(record) is None
    assert kind(max_shift=2).difference(record) == "max_shift 0, here 2"


@pytest.mark.parametrize("kind", [TrainConfig, TorchConfig])
def test_a_field_that_this_version_lacks_does_not_differ(kind):
    assert kind().difference({**kind().as_dict(), "of_another_version": 1}) is None
