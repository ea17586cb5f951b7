"""An encoded pool in a folder: one safetensors file of keys and values per block, and a manifest that says whose they
are.

Knows nothing about models: it compares what the manifest says with what the caller expects. The manifest is written
last, so a folder without one holds nothing; it never holds a pickle.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dbsa_core.errors import DataError
from dbsa_core.folders import replacing
from dbsa_core.store import BlockKV, KeyForm

if TYPE_CHECKING:
    import torch

FORMAT = 2
KEYS_BEFORE_ROPE = 1
"""The format before, which knew one form of keys alone."""
MANIFEST = "manifest.json"
SCALES = ("key_scales", "value_scales", "key_factors")
"""Of int8, in a block's file; see `BlockKV.scales`."""


@dataclass(frozen=True)
class SavedPool:
    """The folder of a pool, its manifest read and found to be that of the pool asked for."""

    folder: Path
    forms: tuple[KeyForm, ...] | None
    """For each layer, how its keys are kept; None in a file of the format before: before RoPE in all."""
    seconds: float
    """That encoding took."""

    def block(self, block_id: int, shape: Sequence[int], device: torch.device, *, int8: bool = False) -> BlockKV:
        """A block as it is kept, keys and values each of that shape; `DataError` where they cannot be read, or are of
        another."""
        try:
            tensors = load_file(self.folder / _name(block_id), device=str(device))
            scales = tuple(tensors[name] for name in SCALES) if int8 else ()
            kv = BlockKV(tensors["keys"], tensors["values"], scales)
        except (OSError, KeyError, IndexError, ValueError, RuntimeError, SafetensorError) as error:
            raise DataError(f"A block of the pool in {self.folder} cannot be read ({error}); encode anew.") from error
        layers, heads, tokens, head_dim = shape
        of_scales = ((layers, heads, tokens), (layers, heads, tokens), (layers, heads, head_dim))
        fit = all(scale.shape == size for scale, size in zip(kv.scales, of_scales, strict=False))
        if not (kv.keys.shape == kv.values.shape == tuple(shape) and fit):
            raise _not_whole(self.folder)
        return kv


def write_blocks(
    folder: Path, identity: dict[str, Any], forms: Sequence[KeyForm], blocks: dict[int, BlockKV], seconds: float
) -> None:
    """Replace `folder` by these blocks; `identity` is what `saved_pool` must be given to get them back."""
    with replacing(folder) as partial:
        for block_id, kv in blocks.items():
            tensors = {"keys": kv.keys, "values": kv.values, **dict(zip(SCALES, kv.scales, strict=False))}
            save_file({name: part.contiguous() for name, part in tensors.items()}, partial / _name(block_id))
        manifest = {
            "format": FORMAT,
            "identity": identity,
            "key_forms": [form.value for form in forms],
            "blocks": sorted(blocks),
            "seconds": seconds,
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def saved_pool(folder: Path, identity: dict[str, Any], blocks: int) -> SavedPool | None:
    """The pool of that identity and so many blocks in `folder`; None where it has no pool.

    Raises `DataError` where the folder holds another pool, naming what differs, or one that cannot be read.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        held, block_ids, seconds = manifest["identity"], tuple(manifest["blocks"]), float(manifest["seconds"])
        version = manifest["format"]
        known = version in (FORMAT, KEYS_BEFORE_ROPE) and isinstance(held, dict)
        named = manifest["key_forms"] if version == FORMAT else None
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
    if not blocks or block_ids != tuple(range(blocks)):
        raise _not_whole(folder)
    return SavedPool(folder, _forms(folder, named) if version == FORMAT else None, seconds)


def _forms(folder: Path, named: Any) -> tuple[KeyForm, ...]:
    try:
        return tuple(KeyForm(name) for name in named)
    except (TypeError, ValueError) as error:
        accepted = ", ".join(repr(form.value) for form in KeyForm)
        raise DataError(
            f"The pool in {folder} keeps keys in a form that is not known here ({error}; known are {accepted}); encode "
            "anew."
        ) from error


def _not_whole(folder: Path) -> DataError:
    return DataError(f"The pool in {folder} is not whole, or its files were swapped; encode anew.")


def _name(block_id: int) -> str:
    return f"block-{block_id:05d}.safetensors"


def as_identity(**parts: Any) -> dict[str, Any]:
    """Parts of an identity as plain JSON values; dataclasses become dictionaries."""
    return {name: asdict(part) if hasattr(part, "__dataclass_fields__") else part for name, part in parts.items()}


__all__ = ["FORMAT", "MANIFEST", "SavedPool", "as_identity", "saved_pool", "write_blocks"]
