"""How much memory does a long dense prompt take beyond weights and cache, and how long? On one GPU.

    python benchmarks/long_prompts.py [--tokens 9000,30000,90000] [--out FILE]

The Llama-3.1-8B shape with random weights, bfloat16: as mistral (a sliding window of 4,096 in every layer), as qwen2
(in every second layer) and as llama (in none). Correctness first, on small models of the same families. Writes
`benchmarks/results/long-prompts-cuda.json` with rows of `{name, value, n, iqr, unit, target}`.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.cpu import Sample, row  # noqa: E402  # the script runs without an installation
from benchmarks.random_model import random_ids, random_model  # noqa: E402
from benchmarks.versions import versions  # noqa: E402
from dbsa_core.devices import CUDA  # noqa: E402
from dbsa_core.model.language_model import LanguageModel  # noqa: E402
from dbsa_core.stage2.prefix import Prefix  # noqa: E402
from dbsa_core.stage2.scoring import score_labels  # noqa: E402
from dbsa_core.stage2.trie import LabelTrie  # noqa: E402

SHAPE_8B: dict[str, Any] = {
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 131_072,
}
SMALL = {
    "vocab_size": 300,
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
}
SMALL |= {"num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 16_384}
WINDOW = 4096
TARGET_GB = 1.5
TRIE = LabelTrie.of_ids([str(i) for i in range(6)], [(i, i + 1) for i in range(6)], 10)


def make(family: str, shape: dict[str, Any], window: int, dtype: torch.dtype, device: str = "cuda") -> LanguageModel:
    layers = shape["num_hidden_layers"]
    special: dict[str, dict[str, Any]] = {
        "mistral": {"sliding_window": window},
        "qwen2": {
            "use_sliding_window": True,
            "sliding_window": window,
            "layer_types": ["sliding_attention", "full_attention"] * (layers // 2),
        },
        "llama": {},
    }
    config = CONFIG_MAPPING[family](**{**shape, **special[family]})
    return random_model(config, dtype, device)


def check(family: str) -> float:
    """A prompt of 9,000 tokens in parts and tiles against one stock forward, float32: the largest difference of a
    label's log-probability, as a share of the largest."""
    model = make(family, SMALL, 256, torch.float32)
    prompt = random_prompt(model, 9000)
    ours = score_labels(Prefix.empty(model), prompt, TRIE).log_probs
    stock = []
    for ids in ((i, i + 1, 10) for i in range(6)):
        with torch.inference_mode():
            logits = model.model(model.ids((*prompt, *ids))[None], use_cache=False, logits_to_keep=4).logits[0, :3]
        stock.append(float(logits.double().log_softmax(-1)[torch.arange(3), torch.tensor(ids)].sum()))
    return max(abs(a - b) for a, b in zip(ours, stock, strict=True)) / max(map(abs, stock))


def random_prompt(model: LanguageModel, tokens: int) -> tuple[int, ...]:
    return random_ids(model.model.config.vocab_size, tokens, 1)


def measure(family: str, lengths: list[int]) -> list[dict[str, Any]]:
    model, rows = make(family, SHAPE_8B, WINDOW, torch.bfloat16), []
    weights = sum(p.nbytes for p in model.model.parameters())
    for tokens in lengths:
        prompt = random_prompt(model, tokens)
        cache = (tokens + len(TRIE)) * model.shape.bytes_per_token
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        seconds = []
        for _ in range(2):
            torch.cuda.synchronize()
            begun = time.perf_counter()
            score_labels(Prefix.empty(model), prompt, TRIE)
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - begun)
        peak = (torch.cuda.max_memory_allocated() - weights - cache) / 1e9
        # A shorter prompt goes through the model at once, which is faster and takes what memory there is.
        target = TARGET_GB if tokens > CUDA.whole_prompt_tokens else None
        rows.append(row(f"{family}, {tokens:,} tokens: peak beyond weights and cache", Sample(peak), "GB", target))
        rows.append(row(f"{family}, {tokens:,} tokens: a dense query", Sample(seconds[-1]), "s"))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", default="9000,30000,90000")
    parser.add_argument("--families", default="mistral,qwen2,llama")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "long-prompts-cuda.json")
    arguments = parser.parse_args()
    families, lengths = arguments.families.split(","), [int(part) for part in arguments.tokens.split(",")]
    rows = []
    for family in families:
        difference = check(family)
        rows.append(row(f"{family}: largest difference from stock", Sample(difference), "share", 1e-4))
        if difference > 1e-4:
            raise SystemExit("The answers differ from stock transformers; nothing is measured.")
    for family in families:
        rows += measure(family, lengths)
        gc.collect()
        torch.cuda.empty_cache()
    found = {
        "device": torch.cuda.get_device_name(),
        "dtype": "bfloat16",
        "versions": versions(),
        "config": {"shape": SHAPE_8B, "window": WINDOW},
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"written: {arguments.out.name}")


if __name__ == "__main__":
    main()
