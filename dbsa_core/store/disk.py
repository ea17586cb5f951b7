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

from safetensors import SafetensorError, safe_open
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


def read_blocks(folder: Path, identity: dict[str, Any], device: torch.device) -> tuple[Arena, float] | None:
    """The blocks in one memory, and the seconds that encoding took; None where there is no pool in `folder`.

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
    if not block_ids or block_ids != tuple(range(len(block_ids))):
        raise DataError(f"The pool in {folder} is not whole, or its files were swapped; encode anew.")
    try:
        return _read_arena([folder / _name(block_id) for block_id in block_ids], device), seconds
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(f"A block of the pool in {folder} cannot be read ({error}); encode anew.") from error


def _read_arena(files: Sequence[Path], device: torch.device) -> Arena:
    """One memory of all blocks, each read into its place."""
    shapes = [_shape(file) for file in files]
    first = load_file(files[0], device=str(device))["keys"]
    layers, kv_heads, _, head_dim = first.shape
    lengths = [shape[2] for shape in shapes]
    store = Arena(
        layers=layers,
        kv_heads=kv_heads,
        head_dim=head_dim,
        tokens=with_spare(sum(lengths)),
        dtype=first.dtype,
        device=device,
    )
    store.extended(0, lengths)
    for block_id, file in enumerate(files):
        tensors = load_file(file, device=str(device))
        store.put(block_id, BlockKV(tensors["keys"], tensors["values"]))
    return store


def _shape(file: Path) -> Sequence[int]:
    with safe_open(file, framework="pt") as held:
        shape: Sequence[int] = held.get_slice("keys").get_shape()
        return shape


def _name(block_id: int) -> str:
    return f"block-{block_id:05d}.safetensors"


def as_identity(**parts: Any) -> dict[str, Any]:
    """Parts of an identity as plain JSON values; dataclasses become dictionaries."""
    return {name: asdict(part) if hasattr(part, "__dataclass_fields__") else part for name, part in parts.items()}


__all__ = ["FORMAT", "MANIFEST", "as_identity", "read_blocks", "write_blocks"]
