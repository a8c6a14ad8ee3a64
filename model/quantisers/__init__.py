"""The quantisers: how weights, activations and gradients become few bits."""

from cpt.model.quantisers.base import Batch, Quantiser
from cpt.model.quantisers.cyclebnn import CycleBnn
from cpt.model.quantisers.dorefa import DoReFa
from cpt.model.quantisers.fabric import Fabric
from cpt.model.quantisers.registry import (
    make_quantiser,
    parsed_options,
    quantiser_kind,
    quantiser_names,
    register_quantiser,
    with_options,
)
from cpt.model.quantisers.sbm import Sbm
from cpt.model.quantisers.uniform import Uniform
from cpt.model.quantisers.wageubn import Wageubn

__all__ = [
    "DEFAULT",
    "Batch",
    "CycleBnn",
    "DoReFa",
    "Fabric",
    "Quantiser",
    "Sbm",
    "Uniform",
    "Wageubn",
    "make_quantiser",
    "parsed_options",
    "quantiser_kind",
    "quantiser_names",
    "register_quantiser",
    "with_options",
]

DEFAULT = Sbm.name
"""The quantiser that CPT is with."""
