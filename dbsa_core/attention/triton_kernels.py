"""Two kernels that PyTorch lacks, for CUDA: queries turned for each stretch, and stretches' results merged.

Knows nothing about models. Both read on the device how many stretches there are, so that a captured graph does no work
for those that a query does not have. The operators of `attention.traced` say what they compute, and hold their twins.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

TOKENS = 16
"""Of one program."""


@triton.jit
def _turned_rows(
    query,
    partner,
    cos,
    sin,
    count,
    rows,
    tokens,
    group,
    head_dim,
    query_heads,
    query_tokens,
    partner_heads,
    partner_tokens,
    TOKENS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    stretch, head = tl.program_id(0), tl.program_id(1)
    if stretch >= tl.load(count):
        return
    kv_heads = tl.num_programs(1) // group
    token = tl.program_id(2) * TOKENS + tl.arange(0, TOKENS)
    place = tl.arange(0, WIDTH)
    there = (token[:, None] < tokens) & (place[None, :] < head_dim)
    table = (stretch * tokens + token[:, None]) * head_dim + place[None, :]
    x = tl.load(query + head * query_heads + token[:, None] * query_tokens + place[None, :], there).to(tl.float32)
    y = tl.load(partner + head * partner_heads + token[:, None] * partner_tokens + place[None, :], there).to(tl.float32)
    turned = x * tl.load(cos + table, there) + y * tl.load(sin + table, there)
    row = (stretch * group + head % group).to(tl.int64) * tokens + token[:, None]
    target = rows + (row * kv_heads + head // group) * head_dim + place[None, :]
    tl.store(target, turned.to(rows.dtype.element_ty), there)


def turned_rows(
    query: torch.Tensor,
    partner: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    count: torch.Tensor,
    rows: torch.Tensor,
) -> torch.Tensor:
    """Fills `rows`."""
    _, heads, tokens, head_dim = query.shape
    query, partner = (states if states.stride(3) == 1 else states.contiguous() for states in (query, partner))
    grid = (len(cos), heads, triton.cdiv(tokens, TOKENS))
    _turned_rows[grid](
        query,
        partner,
        cos.contiguous(),
        sin.contiguous(),
        count,
        rows,
        tokens,
        heads // rows.shape[1],
        head_dim,
        query.stride(1),
        query.stride(2),
        partner.stride(1),
        partner.stride(2),
        TOKENS=TOKENS,
        WIDTH=triton.next_power_of_2(head_dim),
    )
    return rows


@triton.jit
def _merged_rows(
    output,
    sums,
    own,
    own_sums,
    count,
    made,
    tokens,
    group,
    head_dim,
    all_rows,
    own_heads,
    own_tokens,
    sums_heads,
    sums_tokens,
    TOKENS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    head, heads = tl.program_id(0), tl.num_programs(0)
    kv_heads, kv_head = heads // group, head // group
    token = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    place = tl.arange(0, WIDTH)
    exists = token < tokens
    there = exists[:, None] & (place[None, :] < head_dim)
    total = tl.load(own + head * own_heads + token[:, None] * own_tokens + place[None, :], there).to(tl.float32)
    highest = tl.load(own_sums + head * sums_heads + token * sums_tokens, exists, other=0.0)
    weight = tl.full([TOKENS], 1.0, tl.float32)
    for stretch in range(tl.load(count)):
        row = (stretch * group + head % group).to(tl.int64) * tokens + token
        here = tl.load(sums + kv_head.to(tl.int64) * all_rows + row, exists, other=0.0)
        part = tl.load(output + (row[:, None] * kv_heads + kv_head) * head_dim + place[None, :], there).to(tl.float32)
        now = tl.maximum(highest, here)
        before, share = tl.exp(highest - now), tl.exp(here - now)
        total = total * before[:, None] + part * share[:, None]
        weight = weight * before + share
        highest = now
    target = made + (token[:, None] * heads + head) * head_dim + place[None, :]
    tl.store(target, (total / weight[:, None]).to(made.dtype.element_ty), there)


def merged_rows(
    output: torch.Tensor,
    sums: torch.Tensor,
    own: torch.Tensor,
    own_sums: torch.Tensor,
    count: torch.Tensor,
    made: torch.Tensor,
) -> torch.Tensor:
    """Fills `made`."""
    _, heads, tokens, head_dim = own.shape
    own = own if own.stride(3) == 1 else own.contiguous()
    _merged_rows[(heads, triton.cdiv(tokens, TOKENS))](
        output.contiguous(),
        sums.contiguous(),
        own,
        own_sums,
        count,
        made,
        tokens,
        heads // output.shape[1],
        head_dim,
        output.shape[0],
        own.stride(1),
        own.stride(2),
        own_sums.stride(1),
        own_sums.stride(2),
        TOKENS=TOKENS,
        WIDTH=triton.next_power_of_2(head_dim),
    )
    return made
