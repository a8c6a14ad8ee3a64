"""Public architectures as their libraries make them, each through a step of cyclic precision.

``python tests/zoo.py`` tries all and writes ``docs/zoo.md``; names as arguments: only these, on the screen.
"""

from __future__ import annotations

import copy
import functools
import importlib
import io
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cpt.model import (
    CyclicPrecision,
    QuantConfig,
    float_layers,
    follow_weights_,
    precisions,
    quantize_,
    set_precision,
)

PAGE = Path(__file__).parent.parent / "docs" / "zoo.md"
DECLARED = torch.library.Library("torchvision", "FRAGMENT")
BATCH, CLASSES, WORDS, LENGTH = 2, 10, 64, 8
BITS, CYCLES, STEPS = (3, 8), 1, 2


@dataclass(frozen=True)
class Entry:
    """An architecture: its library, what makes it with random weights, what it is called with."""

    library: str
    make: Callable[[], nn.Module]
    inputs: Callable[[], dict[str, Tensor] | Tensor]
    bypassed: tuple[str, ...] = ()
    """Ends of names of layers whose weights the model multiplies by without calling them."""
    followed: tuple[str, ...] = ()
    """Ends of names of modules that call torch's functions with their layers' weights."""
    idle: int = 0
    """Quantised weights that the loss does not depend on."""

    def quantised(self) -> nn.Module:
        """A new one with all its layers quantised but those bypassed."""
        net = quantize_(self.make(), QuantConfig(seed=1), lambda _, name: not name.endswith(self.bypassed))
        return follow_weights_(net, lambda _, name: name.endswith(self.followed)) if self.followed else net


def _images(size: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(BATCH, 3, size, size)


def _torchvision(name: str, size: int = 64, followed: tuple[str, ...] = (), **options: Any) -> Entry:
    def make() -> nn.Module:
        models = _models_of_torchvision()
        return models.get_model(name, weights=None, num_classes=CLASSES, **options)

    return Entry("torchvision", make, _images(size), followed=followed)


@functools.cache
def _models_of_torchvision() -> Any:
    """`torchvision.models`, also beside a torch for other devices, where its own operations do not load.

    No architecture here uses these, but importing it asks for two of them by name.
    """
    try:
        return importlib.import_module("torchvision.models")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    for name in ("nms", "qnms"):
        DECLARED.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
    return importlib.import_module("torchvision.models")


def _timm(name: str, size: int = 64, **options: Any) -> Entry:
    def make() -> nn.Module:
        _models_of_torchvision()  # which timm imports
        return importlib.import_module("timm").create_model(name, num_classes=CLASSES, **options)

    return Entry("timm", make, _images(size))


def _tokens() -> dict[str, Tensor]:
    return {"input_ids": torch.randint(3, WORDS, (BATCH, LENGTH))}


def _transformers(
    name: str,
    inputs: Callable[[], dict[str, Tensor]] = _tokens,
    bypassed: tuple[str, ...] = (),
    **options: Any,
) -> Entry:
    """A small one of the model class ``name``."""

    def make() -> nn.Module:
        kind = getattr(importlib.import_module("transformers"), name)
        return kind(kind.config_class(**options))

    return Entry("transformers", make, inputs, bypassed)


_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
_TEXT = {"vocab_size": WORDS, **_SMALL}
_PICTURE = {"image_size": 32, "patch_size": 8, **_SMALL}
_T5 = {"vocab_size": WORDS, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
_WHISPER = {
    "vocab_size": WORDS,
    "d_model": 32,
    **{
        f"{part}_{what}": size
        for part in ("encoder", "decoder")
        for what, size in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 64))
    },
    "num_mel_bins": 8,
    "max_source_positions": 16,
    **{f"{name}_token_id": 1 for name in ("pad", "bos", "eos", "decoder_start")},
}

ZOO: dict[str, Entry] = {
    "alexnet": _torchvision("alexnet"),
    "vgg11_bn": _torchvision("vgg11_bn", 32),
    "resnet18": _torchvision("resnet18"),
    "resnet50": _torchvision("resnet50"),
    "resnext50_32x4d": _torchvision("resnext50_32x4d"),
    "densenet121": _torchvision("densenet121"),
    "squeezenet1_1": _torchvision("squeezenet1_1"),
    "googlenet": _torchvision("googlenet", aux_logits=False, init_weights=False),
    "mobilenet_v2": _torchvision("mobilenet_v2"),
    "mobilenet_v3_small": _torchvision("mobilenet_v3_small"),
    "mnasnet0_5": _torchvision("mnasnet0_5"),
    "shufflenet_v2_x0_5": _torchvision("shufflenet_v2_x0_5"),
    "efficientnet_b0": _torchvision("efficientnet_b0"),
    "regnet_y_400mf": _torchvision("regnet_y_400mf"),
    "convnext_tiny": _torchvision("convnext_tiny"),
    "vit_b_32": _torchvision("vit_b_32", 64, image_size=64),
    "swin_t": _torchvision("swin_t", followed=("attn",)),
    "lraspp_mobilenet_v3_large": _torchvision("lraspp_mobilenet_v3_large", weights_backbone=None),
    "deit_tiny_patch16_224": _timm("deit_tiny_patch16_224", img_size=64),
    "mixer_s32_224": _timm("mixer_s32_224", 224),
    "resmlp_12_224": _timm("resmlp_12_224", 224),
    "poolformer_s12": _timm("poolformer_s12"),
    "ghostnet_050": _timm("ghostnet_050"),
    "mobilevitv2_050": _timm("mobilevitv2_050"),
    "resnetv2_50x1_bit": _timm("resnetv2_50x1_bit"),
    "dm_nfnet_f0": _timm("dm_nfnet_f0"),
    "levit_128s": _timm("levit_128s", 224),
    "bert": _transformers("BertForSequenceClassification", **_TEXT),
    "roberta": _transformers("RobertaForSequenceClassification", **_TEXT),
    "distilbert": _transformers(
        "DistilBertForMaskedLM", vocab_size=WORDS, dim=32, n_layers=2, n_heads=2, hidden_dim=64
    ),
    "gpt2": _transformers("GPT2LMHeadModel", vocab_size=WORDS, n_embd=32, n_layer=2, n_head=2),
    "opt": _transformers(
        "OPTForCausalLM",
        vocab_size=WORDS,
        hidden_size=32,
        word_embed_proj_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=64,
    ),
    "llama": _transformers("LlamaForCausalLM", **_TEXT),
    "qwen2": _transformers("Qwen2ForCausalLM", num_key_value_heads=2, **_TEXT),
    "mixtral": _transformers("MixtralForCausalLM", num_key_value_heads=2, num_local_experts=2, **_TEXT),
    "mamba": _transformers(
        "MambaForCausalLM",
        bypassed=("conv1d", "dt_proj"),
        vocab_size=WORDS,
        hidden_size=32,
        num_hidden_layers=2,
    ),
    "t5": _transformers(
        "T5ForConditionalGeneration",
        lambda: _tokens() | {"decoder_input_ids": torch.randint(3, WORDS, (BATCH, LENGTH))},
        **_T5,
    ),
    "whisper": _transformers(
        "WhisperForConditionalGeneration",
        lambda: {
            "input_features": torch.randn(BATCH, 8, 32),
            "decoder_input_ids": torch.randint(3, WORDS, (BATCH, LENGTH)),
        },
        **_WHISPER,
    ),
    "vit": _transformers(
        "ViTForImageClassification", lambda: {"pixel_values": torch.randn(BATCH, 3, 32, 32)}, **_PICTURE
    ),
}
"""By name; images are smaller than those that the architectures are known for, weights are random."""


@dataclass(frozen=True)
class Tried:
    """What an architecture is as a quantised model."""

    products: int
    share: float
    """Of the parameters of weights: those that products read quantised."""
    kept: Counter[str]
    """Why other weights are in float32, and how many modules."""


def call(model: nn.Module, inputs: dict[str, Tensor] | Tensor) -> Tensor:
    """The first tensor that the model gives."""
    found: Any = model(**inputs) if isinstance(inputs, dict) else model(inputs)
    while not isinstance(found, Tensor):
        found = next(iter(found.values() if isinstance(found, dict) else found))
    return found


def try_one(entry: Entry) -> Tried:
    """Two training steps at two precisions, a copy, a saved state and compiled code, each as it should be."""
    torch.manual_seed(1)
    model, inputs = entry.quantised(), entry.inputs()
    total = sum(item.numel() for item in model.parameters() if item.dim() > 1)
    kept = float_layers(model)
    optimiser = torch.optim.SGD(model.parameters(), 1e-3)
    schedule = CyclicPrecision(model, BITS, CYCLES, STEPS, unit="iteration")
    before = {name: item.detach().clone() for name, item in model.named_parameters()}
    model.train()
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss = (call(model, inputs).float() - 1).square().mean()
        loss.backward()
        assert loss.isfinite(), "the loss is not finite"
        optimiser.step()
        schedule.step()
    moved = [name for name, item in model.named_parameters() if not torch.equal(item, before[name])]
    assert moved, "no parameter moves"
    weights = {
        f"{name}.{part}": item
        for name, module in model.named_modules()
        if any(child in precisions(module).values() for child in module.children())
        for part, item in module.named_parameters()
        if item.dim() > 1
    }
    idle = [name for name, item in weights.items() if item.grad is None or not item.grad.any()]
    assert len(idle) <= entry.idle, f"no gradient reaches {', '.join(idle)}"
    _stays_the_same(model, entry, inputs)
    quantised = {id(item) for item in weights.values()}
    sizes = {id(item): item.numel() for item in model.parameters()}
    reasons = Counter(why.partition(";")[0] for why in kept.values())
    return Tried(len(precisions(model)), sum(sizes[item] for item in quantised) / total, reasons)


def _stays_the_same(model: nn.Module, entry: Entry, inputs: dict[str, Tensor] | Tensor) -> None:
    """A deep copy, a new model with the saved state, and compiled code give what ``model`` gives."""
    model.eval()
    set_precision(model, fw=4)
    with torch.no_grad():
        expected = call(model, inputs)
        assert torch.equal(call(copy.deepcopy(model), inputs), expected), "a deep copy differs"
        saved = io.BytesIO()
        torch.save(model.state_dict(), saved)
        saved.seek(0)
        again = entry.quantised().eval()
        again.load_state_dict(torch.load(saved, weights_only=False))
        assert torch.equal(call(again, inputs), expected), "a loaded state gives something else"
        torch.compiler.reset()
        compiled = call(torch.compile(model, backend="aot_eager"), inputs)
        size = float(expected.abs().max()) or 1.0
        worst = float((compiled - expected).abs().max()) / size
        assert worst < 0.05, f"compiled code is {worst:.2g} of the largest output off"


def main(names: list[str]) -> int:
    """Try ``names``, or all and write the page; 1 if one fails."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows, failed = [], 0
    for name in names or ZOO:
        entry, start = ZOO[name], time.monotonic()
        try:
            found = try_one(entry)
        except Exception as error:
            failed += 1
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            continue
        kept = "; ".join(f"{count} x {why}" for why, count in found.kept.items()) or "nothing"
        rows.append(f"| {name} | {entry.library} | {found.products} | {100 * found.share:.1f} % | {kept} |")
        print(rows[-1], f"{time.monotonic() - start:.0f} s", flush=True)
    if not names and not failed:
        PAGE.write_text(_page(rows), encoding="utf-8")
    return int(failed > 0)


def _page(rows: list[str]) -> str:
    versions = ", ".join(
        f"{name} {importlib.import_module(name).__version__}"
        for name in ("torch", "torchvision", "timm", "transformers")
    )
    return f"""# Public architectures

{len(rows)} architectures of public libraries as these make them, with random weights. Each is quantised
whole (`quantize_` with a filter that takes everything) and takes two steps of cyclic precision, at 3 and 8
bits. Then it gives the same outputs as its deep copy and as a new model with its saved state, to the bit,
and about the same when compiled (`torch.compile`, `aot_eager`: within a twentieth of the largest, since
codes at the edge of a step may fall to its other side). Images are smaller than those the architectures are
known for; transformers' models are small ones.

Made by `make zoo` ({versions}).

| architecture | library | quantised products | weights in them | what stays in float32 |
|---|---|---|---|---|
{chr(10).join(rows)}

The share is of all parameters with two axes or more, so embeddings and positions lower it; these, and
norms, are not named in the last column unless the model holds them itself. "Left out": layers whose weights
the model reads without calling them. What is of a type that the library does not know is quantised once
`cpt.model.register` is told how ([library.md](library.md#what-stays-float)).
"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
