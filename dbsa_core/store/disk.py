"""An encoded pool in a folder: one safetensors file of keys and values per block, and a manifest that says whose they
are.

Knows nothing about models: it compares what the manifest says with what the caller expects. The manifest is written
last, so a folder without one holds nothing; it never holds a pickle.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dbsa_core.errors import DataError
from dbsa_core.store import Arena, BlockKV, with_spare

if TYPE_CHECKING:
    import torch

FORMAT = 1
MANIFEST = "manifest.json"


def write_blocks(folder: Path, identity: dict[str, Any], blocks: dict[int, BlockKV], seconds: float) -> None:
    """Replace `folder` by these blocks; `identity` is what `read_blocks` must be given to get them back."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=folder.parent))
    try:
        for block_id, kv in blocks.items():
            save_file({"keys": kv.keys.contiguous(), "values": kv.values.contiguous()}, partial / _name(block_id))
        manifest = {"format": FORMAT, "identity": identity, "blocks": sorted(blocks), "seconds": seconds}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_blocks(
    folder: Path, identity: dict[str, Any], lengths: Sequence[int], device: torch.device
) -> tuple[Arena, float] | None:
    """The blocks, of `lengths` tokens, in one memory, and the seconds that encoding took; None where `folder` has none.

    Raises `DataError` where the folder holds another pool, naming what differs, or one that cannot be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        held, block_ids, seconds = manifest["identity"], tuple(manifest["blocks"]), float(manifest["seconds"])
        known = manifest["format"] == FORMAT and isinstance(held, dict)
        block_ids = tuple(int(block_id) for block_id in block_ids)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"The pool in {folder} has no readable manifest ({error}); encode anew.") from error
    wanted = json.loads(json.dumps(identity))
    differing = sorted(name for name in {*held, *wanted} if held.get(name) != wanted.get(name)) if known else []
    if not known or differing:
        what = ", ".join(differing) or "its format's version"
        raise DataError(f"The pool in {folder} was encoded differently ({what}); encode anew.")
    not_whole = DataError(f"The pool in {folder} is not whole, or its files were swapped; encode anew.")
    if not lengths or block_ids != tuple(range(len(lengths))):
        raise not_whole
    store: Arena | None = None
    try:
        for block_id, length in enumerate(lengths):
            tensors = load_file(folder / _name(block_id), device=str(device))
            kv = BlockKV(tensors["keys"], tensors["values"])
            if kv.keys.shape[2] != length:
                raise not_whole
            store = store or _arena_like(kv, lengths)
            store.put(block_id, kv)
    except (OSError, KeyError, IndexError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(f"A block of the pool in {folder} cannot be read ({error}); encode anew.") from error
    assert store is not None
    return store, seconds


def _arena_like(kv: BlockKV, lengths: Sequence[int]) -> Arena:
    """Memory with places for blocks of these lengths, otherwise of the shape, type and device of `kv`."""
    layers, kv_heads, _, head_dim = kv.keys.shape
    store = Arena(
        layers=layers,
        kv_heads=kv_heads,
        head_dim=head_dim,
        tokens=with_spare(sum(lengths)),
        dtype=kv.keys.dtype,
        device=kv.keys.device,
    )
    return store.extended(0, lengths)


def _name(block_id: int) -> str:
    return f"block-{block_id:05d}.safetensors"


def as_identity(**parts: Any) -> dict[str, Any]:
    """Parts of an identity as plain JSON values; dataclasses become dictionaries."""
    return {name: asdict(part) if hasattr(part, "__dataclass_fields__") else part for name, part in parts.items()}


__all__ = ["FORMAT", "MANIFEST", "as_identity", "read_blocks", "write_blocks"]
