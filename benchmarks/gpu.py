"""How long does a query over chosen blocks take on one GPU, beside Retrieval ICL and beside what the hardware allows,
and how long does encoding a pool (`gpu_encoding.py`)?

    python benchmarks/gpu.py [--shapes llama-3.1-8b,...] [--out FOLDER]

Random weights of a model's shape, bfloat16, a pool of blocks of 1,280 tokens whose keys and values are random: latency
depends on neither. Correctness first, on a small model of the family. A query is measured from ids on the host to
log-probabilities on the host. For each shape `gpu-<device>-<shape>.json` with rows of
`{name, value, n, iqr, unit, target, stretch, floor}`; a floor is arithmetic: weights and selected keys read once at
BANDWIDTH, or multiplied at FLOPS where that takes longer. `profiles` tell where each query's time goes.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.cpu import Sample  # noqa: E402  # the script runs without an installation
from benchmarks.gpu_encoding import encoding_rows  # noqa: E402
from benchmarks.on_gpu import (  # noqa: E402
    BANDWIDTH,
    BLOCK_TOKENS,
    FLOPS,
    REPEATS,
    SHAPES,
    SMALL,
    Shape,
    layer_weights,
    rms,
    row,
    settled,
    timed,
)
from benchmarks.random_model import random_ids, random_model  # noqa: E402
from benchmarks.versions import versions  # noqa: E402
from dbsa_core.blocks import Block, BlockPattern  # noqa: E402
from dbsa_core.data import Pool  # noqa: E402
from dbsa_core.devices import free_memory, policy_for  # noqa: E402
from dbsa_core.methods import Setup, make_method  # noqa: E402
from dbsa_core.methods.answering import BATCH_LOGITS  # noqa: E402
from dbsa_core.model.language_model import LanguageModel  # noqa: E402
from dbsa_core.prompt import PromptTemplate  # noqa: E402
from dbsa_core.settings import EncodeSettings, QuerySettings  # noqa: E402
from dbsa_core.stage1.encoding import EncodedPool, encode_blocks  # noqa: E402
from dbsa_core.stage1.memory import arena_for  # noqa: E402
from dbsa_core.stage2.label_scores import LabelScores  # noqa: E402
from dbsa_core.stage2.prefix import Prefix, assemble  # noqa: E402
from dbsa_core.stage2.scoring import score_labels, score_together  # noqa: E402
from dbsa_core.stage2.steps import captured, size_for, steps_of  # noqa: E402
from dbsa_core.stage2.trie import LabelTrie  # noqa: E402
from dbsa_core.task import Task  # noqa: E402

POOLS = {24: 7, 72: 22}
"""Blocks of a pool, and how many of them are chosen: 8,960 and 28,160 tokens."""
POOL_SHARE = 0.5
"""Of the memory that the model leaves, what a pool may take."""
PROFILED = 5
"""Queries under the profiler."""
KINDS = {"matrix products": ("nvjet", "gemm", "splitK"), "attention": ("_attention", "_merge", "flash", "fmha")}
"""Kernels by parts of their names."""
LARGEST = 5
"""Kernels that are named."""
TEXTS, TEXT_TOKENS = 10_000, 9_000
"""Rows of a file, and the tokens of the pool that is encoded of it, for what is measured from a text."""


@dataclass(frozen=True)
class Case:
    """Labels of so many tokens behind a prompt of so many."""

    labels: int
    label_tokens: int
    prompt: int
    targets: dict[int, tuple[float, float]]
    """By the blocks of the pool: target and stretch, ms, for the shape of Llama-3.1-8B on one H100."""


CASES = {
    "6": Case(6, 3, 30, {24: (9.7, 8.0), 72: (12.1, 9.5)}),
    "77": Case(77, 4, 30, {24: (19.0, 14.0), 72: (32.0, 22.0)}),
    "77_similar": Case(77, 4, 430, {24: (36.0, 28.0), 72: (62.0, 45.0)}),
}
AT_RATIO_01 = {24: 26.0, 72: 36.0}
OVER = {24: 0.04, 72: 0.0125}
MEMORY_MB = 550.0
BATCH, TOGETHER = 64, (4.4, 3.5)
"""Queries that are asked together, and the target and stretch for each, of 6 labels over 28,160 tokens."""


def trie_of(case: Case, vocabulary: int) -> LabelTrie:
    ids = [random_ids(vocabulary, case.label_tokens, 100 + label) for label in range(case.labels)]
    return LabelTrie.of_ids([str(label) for label in range(case.labels)], ids, 7)


def pool_of(model: LanguageModel, blocks: int, *, int8: bool = False) -> EncodedPool:
    """Random keys and values in the memory of an encoded pool."""
    held = tuple(Block(i, (i,), (0,) * BLOCK_TOKENS) for i in range(blocks))
    store = arena_for(model, blocks * BLOCK_TOKENS, int8=int8).extended(0, [BLOCK_TOKENS] * blocks)
    for states in (store.keys, store.values):
        states.random_(-127, 128) if int8 else states.normal_()
    for scales in store.scales:
        scales.fill_(1 / 127)
    nothing = Pool((), (), "")
    return EncodedPool(nothing, held, BlockPattern(1), PromptTemplate(), store, model.signature, None, blocks, 0.0)


def check(shape: Shape) -> dict[str, float]:
    """For each dtype our relative RMS against float32, as a share of stock's own: a pool that is encoded with a window
    over everything is what a stock forward sees."""
    config = Shape(shape.family, **SMALL, rope=shape.rope, tied=shape.tied).config()
    exact = random_model(config, torch.float32)
    lengths, labels = (40, 33, 51, 64), [random_ids(500, 1 + i % 4, i) for i in range(12)]
    blocks = [Block(i, (i,), random_ids(500, n, 50 + i)) for i, n in enumerate(lengths)]
    prompts = [random_ids(500, 21, 90 + i) for i in range(4)]
    trie = LabelTrie.of_ids([str(i) for i in range(12)], labels, 7)
    before = [token for block in blocks for token in block.token_ids]
    expected, found = [stock_scores(exact, [*before, *prompt], labels) for prompt in prompts], {}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        model = exact if dtype is torch.float32 else random_model(config, dtype)
        model.model.load_state_dict(exact.model.state_dict())
        everything = BlockPattern(1, 1, len(blocks))
        pool = encode_blocks(model, Pool((), (), ""), blocks, everything, PromptTemplate())
        prefix = assemble(model, pool, range(len(blocks)))
        stock = [stock_scores(model, [*before, *prompt], labels) for prompt in prompts]
        # Stock is its own float32: there the bound is what eager and SDPA differ by.
        least = max(rms(stock, expected), 1e-5 * float(np.abs(expected).max()))
        plain = [score_labels(prefix, prompt, trie, spans=((0, 1),)).log_probs for prompt in prompts]
        name = str(dtype).removeprefix("torch.")
        found[f"{name}_plain"] = rms(plain, expected) / least
        together = score_together([(prefix, prompt) for prompt in prompts], trie)
        found[f"{name}_together"] = rms([scores.log_probs for scores in together], expected) / least
        for compiled in () if dtype is torch.float32 else (False, True):
            size = size_for(len(prompts[0]), len(trie), len(blocks))
            assert size is not None
            assert prefix.blocks is not None
            step = captured(model, pool.store, size, compiled=compiled)
            ours = [trie.label_log_probs(step.answer(prompt, trie.whole, prefix.blocks)) for prompt in prompts]
            found[f"{name}_{'compiled' if compiled else 'captured'}"] = rms(ours, expected) / least
    return found


def stock_scores(model: LanguageModel, before: Sequence[int], labels: Sequence[tuple[int, ...]]) -> np.ndarray:
    """One stock forward a label."""
    scores = []
    for label in labels:
        ids = (*label, 7)
        with torch.inference_mode():
            logits = model.model(model.ids((*before, *ids))[None], use_cache=False, logits_to_keep=len(ids) + 1).logits[
                0, :-1
            ]
        log_probs = logits.double().log_softmax(-1)
        scores.append(float(log_probs[torch.arange(len(ids)), torch.tensor(ids)].sum()))
    return np.array(scores)


def profiled(query: str, ask: Callable[[], Any], wall_ms: float, replay_ms: float) -> dict[str, Any]:
    """Milliseconds of a query in kernels, by kind, between them (the rest of `replay_ms`, which the graph takes alone)
    and around it: the host's work, and inputs and outputs on their way (the rest of `wall_ms`)."""
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        for _ in range(PROFILED):
            ask()
        torch.cuda.synchronize()
    kernels = [(e.key, e.self_device_time_total / 1e3 / PROFILED, e.count / PROFILED) for e in seen.key_averages()]
    spent: dict[str, float] = dict.fromkeys([*KINDS, "other kernels"], 0.0)
    for name, ms, _ in kernels:
        spent[next((kind for kind, parts in KINDS.items() if any(p in name for p in parts)), "other kernels")] += ms
    spent["between kernels"] = replay_ms - sum(spent.values())
    spent["around the graph"] = wall_ms - replay_ms
    largest = sorted(kernels, key=lambda kernel: -kernel[1])[:LARGEST]
    return {
        "query": query,
        "ms": spent,
        "launches": sum(count for *_, count in kernels),
        "largest": [{"kernel": name[:100], "ms": ms, "count": count} for name, ms, count in largest],
    }


def floor_ms(
    model: LanguageModel, shape: Shape, rows: int, keys: int, *, read: int | None = None, logits: int = 1
) -> float:
    """Layers, head and selected keys read once, or multiplied. `keys` are those of each row; `read` in all, where that
    is not the same; `logits` are rows of them."""
    head = model.model.get_output_embeddings().weight.numel()
    layers = layer_weights(model)
    moved = (keys if read is None else read) * model.shape.bytes_per_token
    attention = 4 * rows * keys * shape.layers * shape.heads * model.shape.head_dim
    seconds = max(2 * layers / BANDWIDTH, 2 * layers * rows / FLOPS)
    seconds += max(2 * head / BANDWIDTH, 2 * head * logits / FLOPS)
    return 1e3 * (seconds + max(moved / BANDWIDTH, attention / FLOPS))


def measure(shape: Shape, *, targets: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows and profiles; `targets`: whether those of `CASES` are of this shape."""
    model, rows, kept, first, profiles = random_model(shape.config(), torch.bfloat16), [], [], [], []
    steps = steps_of(model)
    for blocks, chosen in POOLS.items():
        if blocks * BLOCK_TOKENS * model.shape.bytes_per_token > POOL_SHARE * free_memory(model.device):
            print(f"A pool of {blocks} blocks does not fit beside the model and Retrieval ICL; left out.", flush=True)
            continue
        pool, rng, keys = pool_of(model, blocks), np.random.default_rng(2), chosen * BLOCK_TOKENS

        def pick(count: int, rng: Any = rng, blocks: int = blocks) -> list[list[int]]:
            others = np.arange(1, blocks)
            return [[0, *sorted(rng.choice(others, count - 1, replace=False).tolist())] for _ in range(8)]

        for name, case in CASES.items():
            trie = trie_of(case, shape.vocabulary)
            prompts = [random_ids(shape.vocabulary, case.prompt, 200 + i) for i in range(8)]
            choices = pick(chosen)
            ask = queries(model, pool, choices, prompts, trie)
            before = settled()
            plain = ask()
            first.append((torch.cuda.max_memory_reserved() - before) / 1e6)
            steps.wait()
            kept.append((settled() - before) / 1e6)
            answered = timed(ask)
            assert plain.warming_up
            assert not ask().warming_up, "what is timed is the captured step"
            target, stretch = case.targets[blocks] if targets else (None, None)
            floor = floor_ms(model, shape, case.prompt + len(trie), keys)
            rows.append(row(f"query_{name}_{keys}_ms", answered, "ms", target=target, stretch=stretch, floor=floor))
            step = steps.find(assemble(model, pool, choices[0]), prompts[0], len(trie)).step
            assert step is not None
            profiles.append(profiled(f"query_{name}_{keys}", ask, answered.value, timed(step.run).value))
            if name == "77_similar":
                fewer = timed(queries(model, pool, pick(round(0.1 * blocks)), prompts, trie))
                target = AT_RATIO_01[blocks] if targets else None
                rows.append(row(f"query_{name}_{keys}_at_ratio_0.1_ms", fewer, "ms", target=target))
            if targets or name == "6":
                rows.append(together_row(model, shape, case, pool, pick, trie, name, keys, targets=targets))
            if name == "6":
                rows += beside_retrieval(model, trie, answered, keys, case.prompt, OVER[blocks] if targets else None)
                small = pool_of(model, blocks, int8=True)
                ask = queries(model, small, choices, prompts, trie)
                rows += int8_rows(model, ask, answered, keys, small.num_bytes / pool.num_bytes)
                rows.append(together_row(model, shape, case, small, pick, trie, name, keys, targets=False))
                del small, ask
        del pool
    rows += [*encoding_rows(model, shape, targets=targets), *from_text(model, targets=targets)]
    memory = MEMORY_MB if targets else None
    rows.append(row("query_memory_mb", Sample(max(kept)), "MB", target=memory))
    rows.append(row("first_query_memory_mb", Sample(max(first)), "MB"))
    compiled, captured = ([w.seconds for w in steps.warm_ups if w.compiled is kind] for kind in (True, False))
    rows.append(row("warm_up_compile_s", Sample(sum(compiled)), "s"))
    return [*rows, row("warm_up_capture_s", Sample(sum(captured)), "s")], profiles


def int8_rows(
    model: LanguageModel, ask: Callable[[], LabelScores], answered: Sample, keys: int, share: float
) -> list[dict[str, Any]]:
    """A query over a pool that is kept as int8, beside the same over one in the model's precision (`answered`), and its
    `share` of the bytes."""
    ask()
    steps_of(model).wait()
    taken = timed(ask)
    return [
        row(f"query_6_{keys}_int8_ms", taken, "ms"),
        row(f"query_6_{keys}_int8_over_model", Sample(taken.value / answered.value), "ratio"),
        row(f"pool_{keys}_int8_over_model", Sample(share), "ratio of bytes"),
    ]


def beside_retrieval(
    model: LanguageModel, trie: LabelTrie, answered: Sample, keys: int, prompt: int, target: float | None
) -> list[dict[str, Any]]:
    """Retrieval ICL over as many tokens, and what a query takes of its time."""
    dense = random_ids(model.model.config.vocab_size, keys + prompt, 300)
    theirs = timed(lambda: score_labels(Prefix.empty(model), dense, trie), 5, 1)
    ratio = Sample(answered.value / theirs.value)
    return [
        row(f"retrieval_icl_6_{keys}_ms", theirs, "ms"),
        row(f"query_6_{keys}_over_retrieval", ratio, "ratio", target=target),
    ]


def together_row(
    model: LanguageModel, shape: Shape, case: Case, pool: EncodedPool, pick: Callable[..., list[list[int]]],
    trie: LabelTrie, name: str, keys: int, *, targets: bool,
) -> dict[str, Any]:  # fmt: skip
    """Milliseconds a query of as many as go through the model together, each over blocks of its own: from ids on the
    host to log-probabilities on the host. Its floor: weights and the pool read once, or multiplied."""
    each, most = case.prompt + len(trie), policy_for(model.device).batch_tokens
    count = min(BATCH, most // each, BATCH_LOGITS // shape.vocabulary // (1 + len(trie)))
    chosen = [choice for _ in range(-(-count // 8)) for choice in pick(keys // BLOCK_TOKENS)][:count]
    prompts = [random_ids(shape.vocabulary, case.prompt, 400 + i) for i in range(count)]

    def ask() -> list[LabelScores]:
        asked = [(assemble(model, pool, blocks), prompt) for blocks, prompt in zip(chosen, prompts, strict=True)]
        return score_together(asked, trie)

    ms = timed(ask)
    read = min(count * keys, sum(map(len, pool.blocks)))
    floor = floor_ms(model, shape, count * each, keys, read=read, logits=count * (1 + len(trie))) / count
    target, stretch = TOGETHER if targets and name == "6" and keys == 28_160 else (None, None)
    found = Sample(ms.value / count, ms.n, None if ms.iqr is None else ms.iqr / count)
    label = f"batch{count}_{'' if name == '6' else f'{name}_'}{keys}_{'int8_' if pool.int8 else ''}ms"
    return row(label, found, "ms", target=target, stretch=stretch, floor=floor)


def from_text(model: LanguageModel, *, targets: bool) -> list[dict[str, Any]]:
    """What `predict` takes beside the forward, from a text to a `Prediction`; tokens are bytes."""
    rng = np.random.default_rng(3)
    words = [f"word{i}" for i in range(2000)]
    pairs = [(" ".join(rng.choice(words, 10)), f"label {i % 12}") for i in range(TEXTS)]
    setup = Setup.of(Task(model, Pool.of(pairs)), EncodeSettings(pool_tokens=TEXT_TOKENS, block_size=10))
    method, seconds = make_method("dbsa", QuerySettings(ratio=0.3)).fit(setup), []
    for repeat in range(3 + REPEATS):
        found = method.predict(pairs[-1 - repeat][0])
        steps_of(model).wait()
        seconds.append(found.seconds)
    assert not found.cold
    beside = [1e3 * (s["total"] - s["forward"] - s["retrieve"]) for s in seconds[3:]]
    retrieve = [1e3 * s["retrieve"] for s in seconds[3:]]
    return [
        row("predict_beside_forward_ms", Sample.of(beside), "ms", target=1.5 if targets else None),
        row("predict_retrieve_blocks_ms", Sample.of(retrieve), "ms", target=1.0 if targets else None),
    ]


def queries(
    model: LanguageModel, pool: EncodedPool, choices: list[list[int]], prompts: list[tuple[int, ...]], trie: LabelTrie
) -> Callable[[], LabelScores]:
    """Asks another query, of other blocks, each time."""
    turns = cycle(zip(choices, prompts, strict=True))

    def ask() -> LabelScores:
        chosen, prompt = next(turns)
        return score_labels(assemble(model, pool, chosen), prompt, trie)

    return ask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    arguments = parser.parse_args()
    device = torch.cuda.get_device_name()
    for name in arguments.shapes.split(","):
        shape = SHAPES[name]
        errors = check(shape)
        rows = [row(f"error_{way}_over_stock", Sample(error), "ratio", target=1.5) for way, error in errors.items()]
        if any(error > 1.5 for error in errors.values()):
            raise SystemExit("The answers are farther from float32 than stock transformers' own; nothing is timed.")
        measured, profiles = measure(shape, targets=name == "llama-3.1-8b")
        found = {"device": device, "dtype": "bfloat16", "versions": versions(), "shape": name}
        found |= {"rows": rows + measured, "profiles": profiles}
        arguments.out.mkdir(parents=True, exist_ok=True)
        file = arguments.out / f"gpu-{'-'.join(device.lower().split())}-{name}.json"
        file.write_text(json.dumps(found, indent=1) + "\n")
        print(f"written: {file.name}")
        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
