"""Finding a model: the embedded one, a hub id, a local folder or a GGUF file.

Knows nothing about RoPE, blocks or labels; it returns stock transformers objects.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from dbsa_core.errors import ModelError
from dbsa_core.folders import default_cache_folder
from dbsa_core.model.embedded import EMBEDDED_NAME, embedded_gguf
from dbsa_core.model.weights import AS_SAVED, WEIGHTS, configuration, ready_rounded, saved_as

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placed:
    """Where a model is put, and in what."""

    device: torch.device
    dtype: torch.dtype
    weights: str = AS_SAVED
    """One of `WEIGHTS`."""


def load(
    source: str | Path | None, placed: Placed, cache_folder: Path | None = None
) -> tuple[PreTrainedModel, Any, str]:
    """Model, tokenizer and a name for the screen."""
    cache_folder = cache_folder or default_cache_folder()
    if source is None or str(source) in ("", "embedded", EMBEDDED_NAME):
        folder = converted(embedded_gguf(), cache_folder)
        return (*_from_folder(str(folder), placed), EMBEDDED_NAME)
    path = Path(source).expanduser()
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise ModelError(f"There is no GGUF file at {path}; give the path of a file that exists.")
        return (*_from_folder(str(converted(path, cache_folder)), placed), path.stem)
    if path.is_dir():
        return _local_folder(path, placed, cache_folder)
    if len(Path(source).parts) > 2 or str(source).startswith((".", "~", "/")):
        raise ModelError(
            f"There is no folder at {path}; give a model's folder, a .gguf file or a hub id like 'org/name'."
        )
    return (*_from_folder(str(source), placed), str(source))


def _local_folder(path: Path, placed: Placed, cache_folder: Path) -> tuple[PreTrainedModel, Any, str]:
    if (path / "config.json").is_file():
        return (*_from_folder(str(path), placed), path.name)
    ggufs = sorted(path.glob("*.gguf"))
    if len(ggufs) == 1:
        return (*_from_folder(str(converted(ggufs[0], cache_folder)), placed), ggufs[0].stem)
    held = f"{len(ggufs)} GGUF files, name one of them" if ggufs else "no config.json and no GGUF file"
    raise ModelError(f"The folder {path} holds {held}; give a folder made by save_pretrained, or a .gguf file.")


def _from_folder(source: str, placed: Placed) -> tuple[PreTrainedModel, Any]:
    asked = configuration(placed.weights, placed.dtype)
    options: dict[str, Any] = {"dtype": placed.dtype, "use_safetensors": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        kept = saved_as(config)
        if asked is not None and kept != AS_SAVED:
            raise ModelError(
                f"The weights of {source} were saved as {kept} already; leave out the {placed.weights} that was asked "
                "for, or name the model that it was made of."
            )
        if asked is not None or kept != AS_SAVED:  # layer by layer: it may be that only what is rounded fits
            options |= {"device_map": {"": placed.device}}
        if asked is not None:
            options |= {"quantization_config": asked}
        model: Any = AutoModelForCausalLM.from_pretrained(source, config=config, **options)
        if "device_map" not in options:
            model = model.to(placed.device)
    except ModelError:
        raise
    except torch.OutOfMemoryError as error:
        advice = "use a smaller one" if placed.weights != AS_SAVED else "use a smaller one, or weights of 8 or 4 bits"
        raise ModelError(f"The model {source} does not fit the memory of {placed.device}; {advice}.") from error
    except Exception as error:
        raise ModelError(_load_message(source, error)) from error
    if asked is not None:
        ready_rounded(model)
        _try_out(model, placed)
    return model, tokenizer


def _try_out(model: PreTrainedModel, placed: Placed) -> None:
    """One short forward of weights that were rounded: not every width can be multiplied so."""
    try:
        with torch.inference_mode():
            model(input_ids=torch.arange(3, device=placed.device)[None], use_cache=False)
    except Exception as error:
        raise ModelError(
            f"The model cannot be used with weights as {placed.weights} ({type(error).__name__}: {str(error)[:300]}); "
            f"accepted are {', '.join(WEIGHTS)}."
        ) from error


def _load_message(source: str, error: Exception) -> str:
    text = str(error)
    if "gated" in text.lower() or "401" in text or "403" in text:
        return (
            f"The model {source} asks you to accept its licence: do so on its page on the hub, then log in here with "
            "`hf auth login`, and try again."
        )
    if "trust_remote_code" in text:
        return (
            f"The model {source} brings code of its own, which is never run here; use a model that transformers knows."
        )
    if "model type" in text and "Transformers does not recognize" in text:
        return f"The model {source} is of a family that the installed transformers does not know; update transformers."
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return (
        f"The model {source} could not be loaded ({type(error).__name__}: {first[:300]}). Give a hub id like "
        "'org/name', a folder made by save_pretrained with safetensors weights, or a .gguf file; a hub id needs a "
        "network or its cache."
    )


def converted(gguf: Path, cache_folder: Path) -> Path:
    """The folder with the GGUF file's weights as float32 safetensors, made at first use and kept.

    Reading a GGUF file anew takes transformers many seconds; this one is read in under three.
    """
    stat = gguf.stat()
    key = hashlib.sha256(f"{gguf.name}|{stat.st_size}|{_head_hash(gguf)}".encode()).hexdigest()[:12]
    target = cache_folder / "models" / f"{gguf.stem}-{key}"
    if (target / "config.json").is_file() and (target / "model.safetensors").is_file():
        return target
    log.info("Converting %s to safetensors, once; it is kept in %s.", gguf.name, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=target.parent))
    try:
        _convert(gguf, partial)
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
    except OSError as error:
        if (target / "config.json").is_file():
            return target
        raise ModelError(
            f"The model {gguf.name} could not be converted in {target.parent} ({error}); about "
            f"{8 * stat.st_size / 1e9:.1f} GB of free, writable disk are needed. Set DBSA_CACHE to another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _head_hash(path: Path, size: int = 1 << 20) -> str:
    with path.open("rb") as file:
        return hashlib.sha256(file.read(size)).hexdigest()


def _convert(gguf: Path, folder: Path) -> None:
    from safetensors.torch import save_file

    place: dict[str, Any] = {"gguf_file": gguf.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), **place)
        model = AutoModelForCausalLM.from_pretrained(str(gguf.parent), dtype=torch.float32, **place)
    except OSError:
        raise
    except Exception as error:
        raise ModelError(
            f"The GGUF file {gguf.name} could not be read ({type(error).__name__}: {str(error)[:300]}); is it whole, "
            "and of an architecture that transformers reads from GGUF (llama, mistral, qwen2, gemma and others)?"
        ) from error
    shared: set[int] = set()
    state: dict[str, torch.Tensor] = {}
    for name, weight in model.state_dict().items():
        if weight.data_ptr() not in shared:
            shared.add(weight.data_ptr())
            state[name] = weight.contiguous()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = AutoConfig.from_pretrained(str(gguf.parent), **place)
    config.tie_word_embeddings = model.config.tie_word_embeddings
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
