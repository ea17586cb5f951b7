"""What encoding a pool takes on one GPU, beside a dense forward over the same tokens; part of `gpu.py`.

A pool is of blocks of 1,280 tokens, each seeing the first block and the two before it. Dense is the stock model over
all tokens at once, which keeps nothing. Memory is that beyond weights and pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.cpu import Sample, in_turn
from benchmarks.on_gpu import BLOCK_TOKENS, FLOPS, Shape, layer_weights, row, settled
from benchmarks.random_model import random_ids
from dbsa_core.blocks import Block, BlockPattern, mask_area
from dbsa_core.data import Pool
from dbsa_core.devices import free_memory
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.prompt import PromptTemplate
from dbsa_core.stage1.encoding import EncodedPool, append_blocks, encode_blocks
from dbsa_core.stage1.layers import layers_of
from dbsa_core.stage1.working import peak_bytes
from dbsa_core.timing import now

PATTERN, NOTHING = BlockPattern(1), Pool((), (), "")
POOLS = {24: 5, 72: 3}
"""Blocks of a pool, and how often it is encoded."""
APPENDED = 6
"""Blocks that are appended, one by one; there is room for them."""
POOL_SHARE = 0.6
"""Of the memory that the model leaves, what a pool may take."""
UNEVEN = tuple(1100 + 37 * i for i in range(24))
"""Lengths of blocks that were not seen before."""
TARGETS = {24: (980.0, 850.0), 72: (2950.0, 2500.0)}
OVER_DENSE = {24: 0.82, 72: 0.48}
"""Of Llama-3.1-8B's shape on one H100: ms, target and then; and shares of dense."""
APPEND_MS, NEW_LENGTH, MEMORY_GB, WITHOUT_WORD_S = 40.0, 1.5, 1.5, 1.0
PLAN_OFF = 0.1
"""By what share the plan of memory may differ from what is then used."""


def blocks_of(vocabulary: int, lengths: Sequence[int]) -> list[Block]:
    return [Block(i, (i,), random_ids(vocabulary, length, 400 + i)) for i, length in enumerate(lengths)]


def encoded(model: LanguageModel, blocks: Sequence[Block], *, int8: bool = False) -> EncodedPool:
    pool = encode_blocks(model, NOTHING, blocks, PATTERN, PromptTemplate(), int8=int8)
    now(model.device)
    return pool


def floor_ms(model: LanguageModel, shape: Shape, lengths: Sequence[int]) -> float:
    """Layers, but the last one's for its keys and values, and attention within the mask, multiplied at FLOPS."""
    kept = 2 * shape.hidden * shape.kv_heads * model.shape.head_dim
    layer = layer_weights(model) / shape.layers
    products = 2 * sum(lengths) * (layer * (shape.layers - 1) + kept)
    attention = 4 * mask_area(lengths, PATTERN) * (shape.layers - 1) * shape.heads * model.shape.head_dim
    return 1e3 * (products + attention) / FLOPS


def encoding_rows(model: LanguageModel, shape: Shape, *, targets: bool) -> list[dict[str, Any]]:
    """`targets`: whether those above are of this shape."""
    rows, memory, layers = [], [], layers_of(model)
    for count, repeats in POOLS.items():
        lengths = [BLOCK_TOKENS] * count
        if sum(lengths) * model.shape.bytes_per_token > POOL_SHARE * free_memory(model.device):
            print(f"A pool of {count} blocks does not fit beside the model; left out.", flush=True)
            continue
        blocks = blocks_of(shape.vocabulary, [*lengths, *[BLOCK_TOKENS] * APPENDED])
        held, later = blocks[:count], blocks[count:]
        ids = model.ids([token for block in held for token in block.token_ids])[None]

        def sparse(held: Sequence[Block] = held) -> None:
            encoded(model, held)

        def small(held: Sequence[Block] = held) -> None:
            encoded(model, held, int8=True)

        def dense(ids: torch.Tensor = ids) -> None:
            with torch.inference_mode():
                model.model(ids, use_cache=False, logits_to_keep=1)
            now(model.device)

        if layers.twin is None:
            rows += first_rows(model, shape, held, targets=targets)
        planned, before = peak_bytes(model, held, PATTERN), settled()
        pool = encoded(model, held)
        used = torch.cuda.max_memory_reserved() - before
        memory.append((used - pool.num_bytes) / 1e9)
        appended = appending_seconds(model, pool, later)
        del pool
        for _ in range(2):
            encoded(model, held[:2], int8=True)
        layers_of(model, int8=True).wait()
        taken = in_turn({"sparse": sparse, "dense": dense, "int8": small}, repeats + 1)
        ours, theirs = taken["sparse"][1:], taken["dense"][1:]
        name, (target, stretch) = f"encode_{sum(lengths)}", TARGETS[count] if targets else (None, None)
        bounds = {"target": target, "stretch": stretch, "floor": floor_ms(model, shape, lengths)}
        rows.append(row(f"{name}_ms", ms(ours), "ms", **bounds))
        rows.append(row(f"dense_{sum(lengths)}_ms", ms(theirs), "ms"))
        rows.append(row(f"{name}_int8_over_model", Sample.of(taken["int8"][1:], ours), "ratio"))
        over = OVER_DENSE[count] if targets else None
        rows.append(row(f"{name}_over_dense", Sample.of(ours, theirs), "ratio", target=over))
        floor = floor_ms(model, shape, [*lengths, BLOCK_TOKENS]) - floor_ms(model, shape, lengths)
        target = APPEND_MS if targets and count == max(POOLS) else None
        rows.append(row(f"{name}_plan_off", Sample(abs(planned / used - 1)), "share of used", target=PLAN_OFF))
        rows.append(row(f"append_{sum(lengths)}_ms", ms(appended[1:]), "ms", target=target, floor=floor))
    rows.append(row("encode_without_word_s", longest_without_word(model, shape), "s", target=WITHOUT_WORD_S))
    return [*rows, row("encode_memory_gb", Sample(max(memory)), "GB", target=MEMORY_GB if targets else None)]


def appending_seconds(model: LanguageModel, pool: EncodedPool, blocks: Sequence[Block]) -> list[float]:
    """Of each block, one behind the other."""
    seconds = []
    for block in blocks:
        begun = now(model.device)
        pool = append_blocks(model, pool, NOTHING, [block])
        seconds.append(now(model.device) - begun)
    return seconds


def first_rows(model: LanguageModel, shape: Shape, blocks: Sequence[Block], *, targets: bool) -> list[dict[str, Any]]:
    """The first encodings of a process: the very first also compiles kernels, behind the second layers are compiled,
    in the background; and the first one of lengths that were not seen before."""
    layers, tokens = layers_of(model), sum(len(block) for block in blocks)
    own = in_turn({"own": lambda: encoded(model, blocks) and None}, 2)["own"]
    layers.wait()
    encoded(model, blocks)
    others = blocks_of(shape.vocabulary, UNEVEN)
    uneven = in_turn({"uneven": lambda: encoded(model, others) and None}, 4)["uneven"]
    new = Sample(uneven[0] / float(np.median(uneven[1:])))
    return [
        row("encode_first_of_process_ms", ms(own[:1]), "ms"),
        row(f"encode_{tokens}_by_own_layers_ms", ms(own[1:]), "ms"),
        row("encode_compile_layers_s", Sample(layers.compile_seconds), "s"),
        row("encode_new_lengths_over_warm", new, "ratio", target=NEW_LENGTH if targets else None),
    ]


def ms(seconds: Sequence[float]) -> Sample:
    return Sample.of([1e3 * s for s in seconds])


def longest_without_word(model: LanguageModel, shape: Shape) -> Sample:
    """Seconds between two reports of progress, from the beginning to the end."""
    blocks, told = blocks_of(shape.vocabulary, [BLOCK_TOKENS] * min(POOLS)), [now(model.device)]
    encode_blocks(
        model, NOTHING, blocks, PATTERN, PromptTemplate(), on_progress=lambda _: told.append(now(model.device))
    )
    told.append(now(model.device))
    return Sample(float(np.diff(told).max()))
