"""What do weights of 8 and 4 bits cost and save on one GPU, in memory, for a query and for encoding a pool?

    python benchmarks/gpu_weights.py [--shapes llama-3.1-8b,...] [--out FOLDER]

A model of random weights is saved once and loaded with each kind of weights, as a user would load it. A query has 6
labels and reads 28,160 of 92,160 tokens; 30,720 tokens are encoded, by compiled layers. For each shape
`weights-<device>-<shape>.json` with rows of `{name, value, n, iqr, unit, target, stretch, floor}`; a floor is the
weights and the selected keys read once at BANDWIDTH. `float8` is what the probe says of weights and activations as
float8, a scale for each row, which are not offered.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, TorchAoConfig

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.cpu import Sample  # noqa: E402  # the script runs without an installation
from benchmarks.gpu import CASES, pool_of, queries, trie_of  # noqa: E402
from benchmarks.gpu_encoding import blocks_of, encoded  # noqa: E402
from benchmarks.on_gpu import BANDWIDTH, BLOCK_TOKENS, SHAPES, Shape, row, timed  # noqa: E402
from benchmarks.random_model import byte_tokenizer, random_ids, random_model  # noqa: E402
from benchmarks.versions import versions  # noqa: E402
from dbsa_core.errors import ModelError  # noqa: E402
from dbsa_core.model.language_model import LanguageModel  # noqa: E402
from dbsa_core.model.weights import WEIGHTS, plain_tensors  # noqa: E402
from dbsa_core.stage1.layers import layers_of  # noqa: E402
from dbsa_core.stage2.steps import steps_of  # noqa: E402

BLOCKS, CHOSEN, ENCODED = 72, 22, 24
ENCODINGS = 5
CASE = CASES["6"]


def measure(model: LanguageModel, shape: Shape, weights: str, whole: dict[str, float]) -> list[dict[str, Any]]:
    """`whole` is what the same took with weights as they were saved, by name; filled in by the first."""
    found = {"weights_gb": Sample(weight_bytes(model) / 1e9)}
    pool, trie, rng = pool_of(model, BLOCKS), trie_of(CASE, shape.vocabulary), np.random.default_rng(2)
    others, keys = np.arange(1, BLOCKS), CHOSEN * BLOCK_TOKENS
    choices = [[0, *sorted(rng.choice(others, CHOSEN - 1, replace=False).tolist())] for _ in range(8)]
    prompts = [random_ids(shape.vocabulary, CASE.prompt, 200 + i) for i in range(8)]
    ask = queries(model, pool, choices, prompts, trie)
    ask()
    steps_of(model).wait()
    found["query_6_28160_ms"] = timed(ask)
    assert not ask().warming_up, "what is timed is the captured step"
    del pool, ask
    blocks = blocks_of(shape.vocabulary, [BLOCK_TOKENS] * ENCODED)
    for _ in range(2):
        encoded(model, blocks)
    layers_of(model).wait()
    found["encode_30720_ms"] = timed(lambda: encoded(model, blocks), ENCODINGS, 1)
    floor = 1e3 * (weight_bytes(model) + keys * model.shape.bytes_per_token) / BANDWIDTH
    rows = []
    for name, sample in found.items():
        unit = "GB" if name.endswith("gb") else "ms"
        bounds = {"floor": floor} if name == "query_6_28160_ms" else {}
        rows.append(row(f"{weights}_{name}", sample, unit, **bounds))
        if name in whole:
            rows.append(row(f"{weights}_{name}_over_model", Sample(sample.value / whole[name]), "ratio"))
    if weights == "model":
        whole |= {name: sample.value for name, sample in found.items()}
    return rows


def weight_bytes(model: LanguageModel) -> int:
    """Of all weights that a forward reads whole: all but the embeddings of tokens, unless the output layer is these."""
    tied = model.model.config.tie_word_embeddings
    embeddings = model.model.get_input_embeddings()
    parameters = {id(weight): weight for weight in model.model.parameters()}
    if not tied:
        parameters.pop(id(embeddings.weight))
    return sum(part.nbytes for weight in parameters.values() for part in plain_tensors(weight))


def of_float8(folder: str) -> str:
    """Why a model of weights and activations as float8 is refused; "" where it is not."""
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow

    asked = TorchAoConfig(Float8DynamicActivationFloat8WeightConfig(granularity=PerRow(), set_inductor_config=False))
    options: Any = {"dtype": torch.bfloat16, "device_map": {"": "cuda"}, "quantization_config": asked}
    try:
        LanguageModel.of(AutoModelForCausalLM.from_pretrained(folder, **options), byte_tokenizer())
    except ModelError as error:
        return str(error)
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="llama-3.1-8b,qwen2.5-1.5b")
    parser.add_argument("--weights", default=",".join(WEIGHTS))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name()
    for name in arguments.shapes.split(","):
        shape, rows, whole = SHAPES[name], [], dict[str, float]()
        with tempfile.TemporaryDirectory() as folder:
            made = random_model(shape.config(), torch.bfloat16)
            made.close()
            made.model.save_pretrained(folder)
            made.tokenizer.save_pretrained(folder)
            del made
            for weights in arguments.weights.split(","):
                gc.collect()
                torch.cuda.empty_cache()
                try:
                    model = LanguageModel.load(folder, device="cuda", weights=weights)
                except ModelError as error:
                    print(f"{weights} is left out: {error}", flush=True)
                    continue
                rows += measure(model, shape, weights, whole)
                del model
            gc.collect()
            torch.cuda.empty_cache()
            refused = of_float8(folder)
        found = {"device": device, "dtype": "bfloat16", "versions": versions(), "shape": name, "rows": rows}
        found["float8"] = refused
        print(f"float8: {refused or 'accepted'}")
        arguments.out.mkdir(parents=True, exist_ok=True)
        file = arguments.out / f"weights-{'-'.join(device.lower().split())}-{name}.json"
        file.write_text(json.dumps(found, indent=1) + "\n")
        print(f"written: {file.name}", flush=True)


if __name__ == "__main__":
    main()
