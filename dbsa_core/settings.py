"""What a user decides: how a pool is encoded, and how a query reads it.

Knows nothing about models. A change of `EncodeSettings` asks for encoding anew; one of `QuerySettings` never does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

from dbsa_core.blocks import BlockPattern, Positions, automatic_block_size, check_ratio
from dbsa_core.classifiers import voters_of
from dbsa_core.errors import SettingsError
from dbsa_core.retrieve import DEFAULT_EMBEDDER, check_retriever, reads_vectors

SparsityPattern = Literal["full", "sink-previous-self", "sink-self", "self"]
SPARSITY_PATTERNS: tuple[SparsityPattern, ...] = get_args(SparsityPattern)
"""The method's own, and what it is compared with in the paper (arXiv 2503.08640, section 5)."""
FULL_WINDOW = 1_000_000
"""Previous blocks that a block sees with full attention: more than there are."""
Order = Literal["pool", "least_to_most", "most_to_least"]
PoolPrecision = Literal["model", "int8"]
POOL_PRECISIONS: tuple[PoolPrecision, ...] = ("model", "int8")
ORDERS: tuple[Order, ...] = ("pool", "least_to_most", "most_to_least")
MOST_WEIGHT = 100.0
"""Of votes: beyond, the model hardly counts."""


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingsError(f"{name} is {value!r}; it must be a whole number, {least} or more.")


@dataclass(frozen=True)
class EncodeSettings:
    """Stage 1: what is encoded, and what each block sees."""

    pool_tokens: int | None = None
    """Budget of tokens to encode; None: what the file, the model's context, memory and (on a CPU) 30 seconds allow, or
    more seconds where labels would be left out."""
    block_size: int | None = None
    """Demonstrations a block (the paper: 50); None: so that there are at least 24 blocks where rows allow it."""
    window: int = 2
    """Previous blocks that a block sees."""
    sink_blocks: int = 1
    """First blocks that every block sees."""
    positions: Positions = "sequential"
    """`sequential` as in the paper, or `local`, with which the pool may be longer than the model's context."""
    seed: int = 42
    """Draws and shuffles the rows."""
    long_rows: Literal["exclude", "truncate"] = "exclude"
    """What happens to rows too long for a block."""
    pool_precision: PoolPrecision = "model"
    """How keys and values are kept: in the model's precision, or as int8 in about half the memory of half precision."""

    def __post_init__(self) -> None:
        if self.pool_tokens is not None:
            _whole("The number of pool tokens", self.pool_tokens, 1)
        if self.block_size is not None:
            _whole("Block size (examples per block)", self.block_size, 1)
        _whole("Window (previous blocks each block sees)", self.window, 0)
        _whole("The number of sink blocks", self.sink_blocks, 0)
        _whole("The seed", self.seed, 0)
        if self.long_rows not in ("exclude", "truncate"):
            raise SettingsError(f"Long rows are to be {self.long_rows!r}; accepted are 'exclude' and 'truncate'.")
        if self.pool_precision not in POOL_PRECISIONS:
            raise SettingsError(
                f"The pool's precision is {self.pool_precision!r}; accepted are 'model' (that of the model) and 'int8'."
            )
        self.pattern(1)

    @property
    def int8(self) -> bool:
        """Whether keys and values are kept as int8; else as the model makes them."""
        return self.pool_precision == "int8"

    @property
    def cuts_long_rows(self) -> bool:
        """Whether rows that are too long are read cut; else they are not read at all."""
        return self.long_rows == "truncate"

    @property
    def sparsity_pattern(self) -> SparsityPattern | None:
        """What blocks see, by its name; None for previous blocks without a shared first one."""
        if self.window >= FULL_WINDOW:
            return "full"
        if self.window:
            return "sink-previous-self" if self.sink_blocks else None
        return "sink-self" if self.sink_blocks else "self"

    def with_sparsity_pattern(self, name: str) -> EncodeSettings:
        """The same with the sinks and the window of one of `SPARSITY_PATTERNS`: the numbers of these settings where
        they have it already, and those of the paper otherwise."""
        if name not in SPARSITY_PATTERNS:
            raise SettingsError(f"There is no pattern {name!r}; there are {', '.join(SPARSITY_PATTERNS)}.")
        sinks = max(1, self.sink_blocks)
        window = self.window if 0 < self.window < FULL_WINDOW else 2
        found = {
            "full": (sinks, FULL_WINDOW),
            "sink-previous-self": (sinks, window),
            "sink-self": (sinks, 0),
            "self": (0, 0),
        }
        sinks, window = found[name]
        return replace(self, sink_blocks=sinks, window=window)

    def pattern(self, rows: int) -> BlockPattern:
        """The pattern for a pool of so many rows."""
        size = self.block_size or automatic_block_size(rows)
        return BlockPattern(size, self.sink_blocks, self.window, self.positions)


class RetrieverKey(NamedTuple):
    """What makes a retriever over the same documents another one."""

    name: str
    embedder: str | None
    seed: int | None


@dataclass(frozen=True)
class QuerySettings:
    """Stage 2: what a query reads."""

    ratio: float = 0.3
    """Share of the blocks that a query reads; the sink counts."""
    fresh_demonstrations: int = 8
    """Rows nearest to the query that are put right before it and encoded with it; the paper has none."""
    retriever: str = "bm25"
    """Ranks the blocks; one of `retrieve.RETRIEVERS`."""
    row_retriever: str = "bm25"
    """Ranks single rows: those that are put before the query, and those of Retrieval ICL; one of the same."""
    embedder: str = DEFAULT_EMBEDDER
    """Sentence encoder of retrievers that read vectors: the default one, or a model of the hub or a folder for
    sentence-transformers."""
    order: Order = "pool"
    """Of the chosen blocks: as in the pool, or by score."""
    votes: str = "none"
    """Classifiers of the file's rows that vote beside the model; one of `classifiers.VOTES`."""
    vote_weight: float = 1.0
    """Of their log-probabilities beside the model's; 0 is as without them."""
    decode: Literal["exact", "greedy"] = "exact"
    """Exact label probabilities, or the paper's constrained greedy decoding."""
    seed: int = 42
    """Of the random retrievers."""

    def __post_init__(self) -> None:
        check_ratio(self.ratio)
        _whole("The number of similar examples added", self.fresh_demonstrations, 0)
        _whole("The seed", self.seed, 0)
        check_retriever(self.retriever)
        check_retriever(self.row_retriever)
        if not isinstance(self.embedder, str) or not self.embedder.strip():
            raise SettingsError(f"The sentence encoder is {self.embedder!r}; name a model or a folder.")
        voters_of(self.votes)
        if not isinstance(self.vote_weight, int | float) or not 0 <= self.vote_weight <= MOST_WEIGHT:
            raise SettingsError(
                f"The weight of the votes is {self.vote_weight!r}; it must be a number from 0, which is as without "
                f"them, to {MOST_WEIGHT:g}."
            )
        if self.decode == "greedy" and self.voters:
            raise SettingsError("Greedy decoding has no probabilities to vote on; choose exact decoding, or no votes.")
        if self.order not in ORDERS:
            raise SettingsError(f"There is no order {self.order!r}; there are {', '.join(ORDERS)}.")
        if self.decode not in ("exact", "greedy"):
            raise SettingsError(f"There is no decoding {self.decode!r}; there are exact and greedy.")

    @property
    def voters(self) -> tuple[str, ...]:
        """Of `classifiers.CLASSIFIERS`; none where they have no weight."""
        return voters_of(self.votes) if self.vote_weight else ()

    @property
    def of_votes(self) -> frozenset[str]:
        """The fields that an answer depends on in which classifiers may vote."""
        fields = {"votes"} if self.vote_weight else set()
        fields |= {"vote_weight"} if self.votes != "none" else set()
        return frozenset(fields | ({"embedder"} if "vectors" in self.voters else set()))

    def retriever_key(self, name: str) -> RetrieverKey:
        """Of the retriever of that name."""
        return RetrieverKey(
            name, self.embedder if reads_vectors(name) else None, self.seed if name == "random" else None
        )

    def of_retrieval(self, *, blocks: bool = False, rows: bool = False) -> frozenset[str]:
        """The fields that an answer depends on whose blocks, rows or both are chosen by retrieval."""
        fields = {"retriever"} if blocks else set()
        fields |= {"row_retriever"} if rows else set()
        keys = [self.retriever_key(getattr(self, field)) for field in fields]
        fields |= {"embedder"} if any(key.embedder is not None for key in keys) else set()
        return frozenset(fields | ({"seed"} if any(key.seed is not None for key in keys) else set()))


@dataclass(frozen=True)
class Preset:
    """Settings that go together."""

    encode: EncodeSettings
    query: QuerySettings


SETTING_PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "automatic": Preset(EncodeSettings(), QuerySettings()),
        "paper-30k": Preset(EncodeSettings(pool_tokens=30_000, block_size=50), QuerySettings(fresh_demonstrations=0)),
        "paper-90k": Preset(EncodeSettings(pool_tokens=90_000, block_size=50), QuerySettings(fresh_demonstrations=0)),
    }
)


def preset(name: str) -> Preset:
    """The preset of that name."""
    if name not in SETTING_PRESETS:
        raise SettingsError(f"There is no preset {name!r}; there are {', '.join(SETTING_PRESETS)}.")
    return SETTING_PRESETS[name]
