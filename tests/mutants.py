"""Do the tests notice a fault? Faults are planted one at a time in a copy of the tree, and the tests of the touched
room must fail.

    python tests/mutants.py [--only WORD] [--skip N] [--jobs 2] [--list]

A fault whose text no longer stands in its file exactly once, tests that fail without any fault, and a fault that keeps
the tests from running at all are errors: such a run says nothing. The last line is `N planted, S survive`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("dbsa_core", "app", "assets", "tests", "tools", "benchmarks")
FILES = (
    "pyproject.toml",
    "app.py",
    "constraints.txt",
    *(f"requirements{part}.txt" for part in ("", "-dev", "-model", "-quantised", "-dense")),
)
PASSED, FAILED = 0, 1
"""Of pytest's exit codes those that say something about a fault."""


@dataclass(frozen=True)
class Fault:
    """`old` stands once in `file` and becomes `new`; `tests` are those of the room, by file name without `test_`."""

    name: str
    file: str
    old: str
    new: str
    tests: str

    @property
    def paths(self) -> list[str]:
        found = []
        for name in self.tests.split():
            folder, _, base = name.rpartition("/")
            found.append(str(Path("tests", folder, f"test_{base}.py")))
        return found


def core(name: str, module: str, old: str, new: str, tests: str) -> Fault:
    return Fault(name, f"dbsa_core/{module}.py", old, new, tests)


FAULTS = (
    # The seven that once survived together.
    core("the plan pins no RoPE length", "planning",
         "rope_length=task.model.rope.pinned_length(tokens + QUERY_POSITIONS, task.model.max_positions),",
         "rope_length=None,", "front_door"),
    core("dense prompts ignore the pinned length", "methods/retrieval_icl",
         "task.model, setup.plan.rope_length)", "task.model, None)", "front_door"),
    core("zero-shot ignores the pinned length", "methods/zero_shot",
         "(), setup.plan.rope_length)", "(), None)", "front_door"),
    core("nearest ignores the pinned length", "methods/nearest",
         "(), setup.plan.rope_length)", "(), None)", "front_door"),
    core("nearest reads rows that the plan leaves out", "methods/nearest",
         "not_beside)] = False", "not_beside)] = True", "methods"),
    core("a new label is not scored", "task",
         "            longer.trie = LabelTrie.of(longer.pool.labels, self.prompter)\n", "", "teaching front_door"),
    core("Retrieval ICL does not read what was taught", "methods/retrieval_icl",
         "[*setup.rows, *setup.loose]", "[*setup.rows]", "teaching"),
    core("the paper's method does not read what was taught", "methods/dbsa",
         "return setup.task.row_index.rank(text) if setup.loose else None", "return None", "teaching"),
    core("Fixed ICL does not read what was taught", "methods/fixed_icl",
         "return [*setup.loose]", "return []", "teaching"),
    core("what was taught before about a text holds too", "setup",
         "frozenset(self._corrected())", "frozenset()", "teaching"),
    core("a text is not answered as it was taught", "prediction",
         "        if self.taught is not None:\n            return self.taught\n", "", "teaching"),
    core("what was taught never becomes a block", "methods/dbsa",
         ".teach(text, label).settled()", ".teach(text, label)", "teaching"),
    core("Fixed ICL ignores the pinned length", "methods/fixed_icl",
         "token_ids, setup.plan.rope_length)", "token_ids, None)", "front_door"),
    core("a dense block is said to begin behind itself", "stage2/dense_prefill",
         "tuple(start for start, _ in spans)", "tuple(end for _, end in spans)", "stage2/step"),
    core("Retrieval ICL puts the nearest row first", "methods/retrieval_icl",
         "drawn))[::-1]", "drawn))", "front_door"),
    core("evaluate does not time fit", "methods/fitting",
         "seconds = now(device) - begun + ", "seconds = ", "evaluation/running"),
    core("outside_mass forgets what was left open", "stage2/label_scores",
         "1.0 - finished - self.open_mass))", "1.0 - finished))", "stage2/scoring"),
    core("the query is checked without the sink", "methods/dbsa",
         "check_query_fits(query_ids, sum(lengths[:required]), task, positions)",
         "check_query_fits(query_ids, 0, task, positions)", "methods"),
    core("Progress counts blocks for tokens", "stage1/encoding",
         "tokens + sum(len(block) for block in chunk)", "tokens + len(chunk)", "timing"),
    # Blocks and the pattern.
    core("the window is a block too short", "blocks",
         "max(len(sinks), block - self.previous_blocks)", "max(len(sinks), block - self.previous_blocks + 1)", "laws"),
    core("the mask's area counts the diagonal blocks whole", "blocks",
         "own * (own + 1) // 2", "own * own", "blocks"),
    core("a half rounds to even", "blocks", "to_integral_value(ROUND_HALF_UP)", 'to_integral_value("ROUND_HALF_EVEN")',
         "blocks methods"),
    core("labels do not come first", "blocks",
         "(first_of_label and label in covered)", "(first_of_label and label in set())", "blocks planning"),
    core("every block begins with the BOS", "blocks", "if b.id == 0 else b", "if b.id >= 0 else b", "prompt"),
    # Stage 1.
    core("all of the last layer is computed for its keys and values", "stage1/windows",
         "if layer == len(self.store.keys) - 1:", "if False:", "stage1/last_layer"),
    core("a dense prompt ends a layer too early", "stage2/dense_prefill",
         "if layer == len(self.keys) - 1:", "if layer == len(self.keys) - 2:", "stage1/last_layer"),
    core("masks are repeated for each head, however large", "attention/sdpa",
         "group * numbers <= FOLDED_MASK", "group * numbers <= 2**62", "attention/attention"),
    core("queries are rotated by the first positions of their window", "stage1/windows",
         "self.rope.rotate(own_query, (cos[:, -length:], sin[:, -length:]))",
         "self.rope.rotate(own_query, (cos[:, :length], sin[:, :length]))", "laws"),
    core("a kept key is rotated by its place in the pool", "stage1/windows",
         "self.rope.tables(self.own.from_block_start, kind)", "self.rope.tables(self.own.positions, kind)", "laws"),
    core("a kept key is turned on by its own position", "stage1/windows",
         "self.rope.moves(places.origins, kind)", "self.rope.moves(places.positions, kind)", "laws"),
    core("YaRN's factor comes in twice", "model/rope",
         "return cos[:, 1:] / cos[:, :1], sin[:, 1:] / cos[:, :1]", "return cos[:, 1:], sin[:, 1:]", "laws"),
    core("stage 1 lets a block see the keys that its positions hide alone", "stage1/windows",
         "(Part(positions, CAUSAL),)", "(Part(range(len(positions)), CAUSAL),)", "laws"),
    core("what is done is lost where memory runs out", "stage1/encoding",
         "if done == first:", "if True:", "stage1/running_out"),
    core("a chunk that found no memory is left out", "stage1/chunks",
         "        self._left.extendleft(reversed(chunk))\n", "", "stage1/running_out stage1/working"),
    core("a chunk in halves is in another order", "stage1/chunks",
         "extendleft(reversed(chunk))", "extendleft(chunk)", "stage1/running_out stage1/working"),
    core("places of what was not written stay", "stage1/encoding",
         "                store.drop_from(chunk[0].id)\n", "", "stage1/running_out store/arena"),
    core("a CPU is not asked for room", "stage1/encoding",
         "if needed > free_memory(model.device):", "if False:", "stage1/running_out"),
    core("the plan of memory forgets what is computed on the way", "stage1/working",
         "most = max(most, chunk_bytes(model, seen, chunk, int8=int8))", "most = 0", "stage1/working"),
    core("the plan of memory forgets masks", "stage1/working",
         "return int(found) + sum(_squares(model, seen, chunk))", "return int(found)", "stage1/working"),
    core("a view counts as memory", "model/live",
         "if key in self._seen and self._seen[key]() is storage:", "if False:", "model/live"),
    core("memory that is given back still counts", "model/live",
         "            self.now -= counted", "            pass", "model/live"),
    core("a container's limit is the machine's", "ram",
         "return min((int(psutil.virtual_memory().available), *_left_in_groups()))",
         "return int(psutil.virtual_memory().available)", "ram"),
    core("files that the kernel gives up count as taken", "ram",
         " + int(stat.get(files.given_up, 0))", "", "ram"),
    core("appending reckons with the old pool's positions only", "stage1/encoding",
         "_check_positions(model, all_blocks, encoded.pattern, encoded.rope_length)",
         "_check_positions(model, encoded.blocks, encoded.pattern, encoded.rope_length)", "laws"),
    core("a packed block reads its sinks by the query for near keys", "attention/block_attention",
         "turned(query, FAR).contiguous() if far_apart(turns, len(query)) else near", "near", "laws"),
    core("a packed block sees all of its own tokens", "attention/block_attention",
         "((far, read[:3], ALL), (near, read[3:], CAUSAL))", "((far, read[:3], ALL), (near, read[3:], ALL))",
         "attention/block_attention"),
    core("packed keys are kept as they stand in the pool", "attention/block_attention",
         "memory.write(written, turned(key, KEPT), value)", "memory.write(written, turned(key, NEAR), value)", "laws"),
    core("earlier keys come into the bank as they are kept", "attention/block_attention",
         "turned(memory.keys[before], MOVED)", "memory.keys[before]", "laws"),
    core("sinks are taken for near keys with local positions", "stage1/packed",
         "(0 if block < pattern.sink_blocks else base)", "base", "laws"),
    core("the host goes on without end", "stage1/encoding",
         "if len(waiting) > policy.chunks_ahead:", "if False:", "stage1/packed"),
    core("layers are compiled for one encoding", "stage1/layers",
         "if self.encodings > 1 and", "if self.encodings > 0 and", "stage1/packed"),
    # Stage 2.
    core("a moved block keeps the positions 0..", "stage2/prefix",
         "model, layers, start, encoded.rope_length)", "model, layers, 0, encoded.rope_length)", "laws"),
    core("a prefix that grows forgets its values", "stage2/dense_prefill",
         "[:, : key.shape[1]] = key, value", "[:, : key.shape[1]] = key, key", "stage2/scoring"),
    core("a query is turned for a block by the place where it ends", "stage2/prefix",
         "tuple(ends[:-1])", "tuple(ends[1:])", "laws"),
    core("a step asks a block by the place of the query in the context", "stage2/step",
         "(context - field[\"firsts\"])[None]", "context.expand_as(field[\"firsts\"])[None]", "stage2/step"),
    core("a trie that was asked before is taken for this one", "stage2/step",
         "if self._nodes is not nodes:", "if self._nodes is None:", "stage2/step"),
    core("a step's nodes see the room of the prompt", "stage2/step",
         "sees[room:, :room] = self._row[:room] < prompt", "sees[room:, :room] = True", "stage2/step"),
    core("a step reads as many blocks as it has room for", "stage2/step",
         "(ends - begins).sum(), count", "(ends - begins).sum(), self.size.blocks", "stage2/step"),
    core("a small query asks for no step of its own", "stage2/steps",
         "if found is None or found.wastes(size):", "if found is None:", "stage2/step"),
    core("of stretches the lighter one weighs more", "attention/partial",
         "if part.log_sum_exp is not None]).softmax(0)", "if part.log_sum_exp is not None]).neg().softmax(0)",
         "attention/stretches"),
    core("a step's tokens all see one another", "attention/query_attention",
         "key.dtype), own, held, sees, options", "key.dtype), own, held, ALL, options", "attention/query_attention"),
    core("a step's queries are not turned for a block", "attention/query_attention",
         "(asks * cos[q, stretch] + swapped * sin[q, stretch])", "asks", "attention/query_attention"),
    core("every query of a batch reads the first one's blocks", "attention/query_attention",
         "int(begins[q, stretch])", "int(begins[0, stretch])", "attention/query_attention many"),
    core("queries of a batch are turned by where blocks end", "stage2/query_batch",
         "(last - first).sum() - np.array(one.firsts)", "(last - first).sum() - np.array(one.firsts) - (last - first)",
         "many"),
    core("a batch counts positions on from query to query", "stage2/query_batch",
         "len(one.prompt) + np.array(one.nodes.depths, np.int64)", "np.array(one.nodes.depths, np.int64)", "many"),
    core("tokens of queries side by side stand one behind the other", "stage2/walks",
         "for at in part.stage.tail.positions[part.stage.start :]",
         "for at in range(part.stage.start, part.stage.start + len(part.token_ids))", "laws"),
    core("a batch reads what a step has left on the modules", "stage2/query_batch",
         "return self.asked[0].blocks.memory(layer)",
         "found = self.asked[0].blocks.memory(layer)\n"
         "        return type(found)(getattr(module, 'dbsa_keys', found.keys),\n"
         "                           getattr(module, 'dbsa_values', found.values), found.scales)", "stage2/step"),
    core("a model is probed by scores in half precision", "model/hook",
         "config._attn_implementation = _registered(WIDE)", 'config._attn_implementation = _registered("eager")',
         "model/hook"),
    core("a chunk's largest keys give the factors of all", "stage1/windows",
         "partner, self.windows[0].end)", "partner, key.shape[2])", "int8"),
    core("packed keys take their factors from the whole chunk", "attention/block_attention",
         "channels_of(made, partner, blocks[0, 1])", "channels_of(made, partner, tokens)",
         "int8 attention/block_attention"),
    core("blocks see their own keys unrounded", "stage1/windows",
         "own = self._at_places(_OWN, self.own, layer, keys[None, :, before:])",
         "own = self.rope.rotate(key, tables)", "int8"),
    core("the factors of keys are not those of their pairs", "layer_memory",
         "torch.hypot(wide, wide @ partner.float())", "wide.abs()", "int8 attention/block_attention"),
    core("scales stay behind where a pool outgrows its memory", "store/arena",
         "there.copy_(here)", "there.fill_(1.0)", "int8 store/arena"),
    core("a pool of int8 is planned as the model makes it", "planning",
         "num_bytes=with_spare(tokens) * bytes_per_token(task.model, int8=settings.int8)",
         "num_bytes=with_spare(tokens) * bytes_per_token(task.model, int8=False)", "int8"),
    core("a pool of another precision is taken for the plan's", "setup",
         "made.blocks[:shared], made.settings.int8)", "made.blocks[:shared], encoded.int8)", "setup"),
    core("the first query's blocks serve all", "methods/answering",
         "prefixes[question.block_ids], question.prompt)", "prefixes[questions[0].block_ids], question.prompt)",
         "many"),
    core("a batch is larger than it may be", "methods/answering",
         "tokens >= 0 and rows >= 0", "rows >= 0", "many"),
    core("errors come before the answers", "methods/answering",
         "next(found) if isinstance(one, Question) else one", "one if not isinstance(one, Question) else next(found)"
         " if one is waiting[0] else waiting[0]", "many"),
    core("rows that are timed are those that count", "evaluation/running",
         "range(len(self.test)), [each.together for _, each in there]",
         "timed_places(len(self.test)), [each.alone for _, each in there]", "evaluation/running"),
    core("results so far are of the first rows, whichever were answered", "evaluation/running",
         "places, answers = sample[:more], alone", "places, answers = range(more), alone", "evaluation/running"),
    core("held-out rows' labels are not the file's", "tested",
         "label_names.get(label, label) for label", "label for label", "tested"),
    core("the throughput counts what was cold", "evaluation/running",
         "for answer in together if not answer.cold]", "for answer in together]", "evaluation/running"),
    core("a run that goes on asks what was answered again", "evaluation/running",
         "texts[len(self.taken.together) :]", "texts", "evaluation/folder"),
    core("a folder of other settings is gone on with", "evaluation/folder",
         "    if names:\n        told", "    if names and False:\n        told", "evaluation/folder"),
    core("a step that was cut off stays", "evaluation/folder",
         "        path.write_bytes(whole)\n", "        pass\n", "evaluation/folder"),
    core("McNemar's test counts rows that both answered rightly", "evaluation/measures",
         "binomtest(wins, wins + losses)", "binomtest(wins, n)", "evaluation/measures"),
    core("probabilities on the border of a bin fall into the next", "evaluation/measures",
         "np.ceil(values * BINS).astype(int) - 1", "np.floor(values * BINS).astype(int)", "evaluation/measures"),
    core("no answer is a label", "evaluation/measures", '{*gold, *predicted} - {""}', "{*gold, *predicted}",
         "evaluation/measures"),
    core("what is out of scope counts as in scope", "evaluation/result",
         "(label != self.out_of_scope) is in_scope", "(label == self.out_of_scope) is in_scope", "evaluation/running"),
    core("the classifier reads labels that were corrected since", "setup",
         "for row in range(len(pool)) if row not in self.unread]", "for row in range(len(pool))]", "classifiers"),
    core("Fixed ICL repeats rows of its pool", "methods/fixed_icl",
         "setup.not_beside.union(setup.rows)", "setup.not_beside", "methods"),
    core("a rotated pool is loaded where keys must be as they were before RoPE", "stage1/memory",
         "if turned > may]", "if turned < may]", "saved"),
    core("new tokens see beyond a layer's sliding window", "attention/visibility",
         "device)[:, first:] & near)", "device)[:, first:])", "attention/parts"),
    core("a window is one key too wide where it hides one", "attention/visibility",
         "self._reach >= sliding_window", "self._reach > sliding_window", "attention/parts"),
    core("of two parts the lighter one weighs more", "attention/partial",
         "torch.sigmoid(part.log_sum_exp - total)", "torch.sigmoid(total - part.log_sum_exp)", "attention/parts"),
    core("a third part is weighed against the first alone", "attention/partial",
         "total = torch.logaddexp(total, part.log_sum_exp)", "pass", "attention/parts"),
    core("a sink takes its share in every part", "attention/parts",
         "replace(options, sinks=None)", "options", "attention/parts"),
    core("a tile begins one key too late", "attention/causal",
         "max(0, before + start - sliding_window + 1)", "max(0, before + start - sliding_window + 2)",
         "attention/causal"),
    core("a tile's window is one key too wide", "attention/causal",
         "triu_(keys - tokens - sliding_window + 1)", "triu_(keys - tokens - sliding_window)", "attention/causal"),
    core("trie nodes stand one behind another", "stage2/walks",
         "behind + self.trie.depths[node]", "behind + self.node_slots[node]", "laws"),
    core("a trie node sees itself alone", "stage2/walks",
         "for above in self.trie.ancestors(node)]]", "for above in (node,)]]", "laws"),
    core("a pass of a step forgets what stands above its nodes", "stage2/trie",
         "for above in self.ancestors(node)}", "for above in (node,) if above >= 0}", "stage2/step"),
    core("a step asks more nodes than it has room for", "stage2/walks",
         "                return count\n", "                return count + 1\n", "stage2/step"),
    core("a label's end is not scored", "stage2/trie", ".sum(1) + ends)", ".sum(1))", "stage2/scoring"),
    core("best-first stops too early", "stage2/scoring", "OPEN_SHARE = 0.01", "OPEN_SHARE = 0.2", "stage2/scoring"),
    core("the upper bound is the lower one", "stage2/label_scores",
         "finished / (z + b), finished / z", "finished / (z + b), finished / (z + b)", "stage2/scoring"),
    core("a tokenizer's control tokens stay in a user's text", "plain_text",
         "if self._controls(found[i], text) != expected:", "if False:", "plain_text"),
    core("a label ends with the separator's last token", "prompt",
         "return self.separator_ids[0]", "return self.separator_ids[-1]", "prompt front_door"),
    # The model.
    core("tables are those of each forward's own length", "model/rope",
         "positions.new_tensor([length - 1])", "positions.new_tensor([0])", "front_door"),
    core("tables serve one position too many", "model/rope",
         "int(positions.max())) >= length", "int(positions.max())) > length", "laws"),
    core("a layer's sliding window is not handed on", "model/hook",
         'sliding_window=options.get("sliding_window"),', "sliding_window=None,", "laws"),
    core("every forward is the first of its kind", "model/language_model",
         "self._seen_kinds.add(kind)", "pass", "methods"),
    # Retrieval and methods.
    core("BM25 does not look at lengths", "retrieve/bm25", "B = 0.75", "B = 0.0", "retrieve/bm25"),
    core("rows with nothing in common are alike", "retrieve/__init__",
         "wanted = ranking.scores > 0", "wanted = ranking.scores >= 0", "retrieve/bm25 methods"),
    core("of equal scores at the edge the higher index is best", "retrieve/__init__",
         "asked[order_of(self.scores[asked])][:count]", "asked[::-1][order_of(self.scores[asked[::-1]])][:count]",
         "retrieve/random"),
    core("scores that differ in their last bits alone stand as their indices", "retrieve/__init__",
         "if (ranked[1:] > ranked[:-1]).any():", "if False:", "retrieve/ranking"),
    core("a threshold by its cost is the least that costs no more", "reject/option",
         "with_threshold(max(each.threshold", "with_threshold(min(each.threshold", "reject/fitting"),
    core("a CPU with bfloat16 multiplies rounded weights in it", "model/weights",
         "setattr(module, _ONLY_BFLOAT16, False)", "pass", "weights"),
    core("weights that are restored wrongly are used", "model/weights",
         "if not torch.equal(found, wanted):", "if False:", "weights"),
    core("blocks stand in the order of their scores", "methods/dbsa",
         "sinks + sorted(others)", "sinks + others", "front_door methods"),
    core("similar examples stand nearest first", "methods/dbsa",
         "list(reversed(nearest_of(alike, self.settings.fresh_demonstrations, exclude=excluded)))",
         "list(nearest_of(alike, self.settings.fresh_demonstrations, exclude=excluded))", "front_door"),
    core("a similar example may stand in a chosen block too", "methods/dbsa",
         "for b in block_ids for row in setup", "for b in block_ids[:0] for row in setup", "methods"),
    core("the nearest row is left out first", "methods/base", "kept.pop(0)", "kept.pop()", "methods"),
    core("a query's own tokens take as much memory as its prefix", "stage2/walks",
         "Tail(self.prefix, len(self.prompt) + len(self.trie))",
         "Tail(self.prefix, self.prefix.length + len(self.prompt) + len(self.trie))", "methods"),
    # Plans, setups, files on disk.
    core("the plan forgets the BOS in its budget", "planning",
         "budget - len(task.prompter.prefix_ids)", "budget", "planning"),
    core("time does not give way to labels", "planning",
         "if needed <= budget and len(rows) == len(possible):", "if True:", "planning"),
    core("any speed that was seen replaces a better one", "speed",
         "if known is None or tokens >= min(known.tokens, _chunk(model)):", "if True:", "speed"),
    core("another model's pool is taken", "setup",
         "if encoded.model_signature != task.model.signature:", "if False:", "setup"),
    core("appended rows are not cut", "setup",
         "setup.plan.row_ids(grown, row) for row in rows", "grown.row_ids[row] for row in rows", "methods"),
    core("another pool is read from disk", "store/disk", "if not known or differing:", "if not known:", "saved"),
    # Measuring.
    core("a clock does not wait for the GPU", "devices",
         "torch.cuda.current_stream(device).synchronize()", "pass", "timing"),
    core("the 95th percentile is the 90th", "evaluation/running", "(25, 50, 75, 95)", "(25, 50, 75, 90)",
         "evaluation/running"),
    core("the cold query counts", "evaluation/running", "if not self.warm:", "if False:", "evaluation/running"),
    core("a CPU that runs out of memory is not told", "model/memory",
         '"can\'t allocate memory" in str(error)', "False", "methods"),
    core("repeats stay in the pool", "data",
         "(repeated if pair in seen else kept).append(row)", "kept.append(row)", "data"),
    Fault(
        "the app's progress counts everything from the start",
        "dbsa_core/stage1/encoding.py",
        "Progress(len(self.blocks), self.blocks_planned, self.tokens, tokens_planned, self.seconds)",
        "Progress(len(self.blocks), self.blocks_planned, tokens_planned, tokens_planned, self.seconds)",
        "app/server/workspace",
    ),
    Fault(
        "a stopped encoding takes the place of a complete pool",
        "app/server/encoding.py",
        "if grows or pool.complete:",
        "if pool is not None:",
        "app/server/encoding",
    ),
    Fault(
        "a stopped encoding begins anew",
        "app/server/steps.py",
        "_steps(plan.blocks[before.blocks_done :],",
        "_steps(plan.blocks[0:],",
        "app/server/encoding",
    ),
    Fault(
        "a setting that was not used marks an answer",
        "app/server/in_force.py",
        "    uses = answer.uses\n",
        "    uses = answer.uses | {'seed'}\n",
        "app/server/stamps",
    ),
    Fault(
        "a pool of another plan is shared",
        "app/server/encoding.py",
        "same_words and plan.encodes_as(made)",
        "same_words",
        "app/server/encoding",
    ),
    Fault(
        "the newest run makes room for the others",
        "app/server/runs.py",
        "self._kept.popitem(last=False)",
        "self._kept.popitem(last=True)",
        "app/server/runs",
    ),
    Fault(
        "a run that was kept anew is shown as it was read before",
        "app/server/runs.py",
        "if run in self._read and self._read[run][0] is found:",
        "if run in self._read:",
        "app/server/runs",
    ),
    Fault(
        "words are marked that stand in every other row",
        "app/ask/from_prediction.py",
        "if setup.task.row_index.holders(word) <= most",
        "if True",
        "app/ask/from_prediction",
    ),
    Fault(
        "what got least attention stands first",
        "app/ask/lists.py",
        "lambda part: -(part.share or 0.0)",
        "lambda part: part.share or 0.0",
        "app/ask/views",
    ),
    Fault(
        "a bar stands for one similar row of them all",
        "app/ask/pictures.py",
        '("similar", similar), ("query"',
        '("similar", similar[:1]), ("query"',
        "app/ask/views",
    ),
    Fault(
        "a result that nobody waits for is heard",
        "app/server/jobs.py",
        "if self._finished.is_set():",
        "if False:",
        "app/server/jobs",
    ),
    core("an answer in doubt is not said to be", "prediction", "return UNSURE if best < 2 * second else",
         "return UNSURE if best < second else", "stage2/scoring"),
    Fault(
        "a pool is saved over somebody else's",
        "app/server/keeping.py",
        "if place.exists() and session.kept_as != name:",
        "if False:",
        "app/server/keeping",
    ),
    Fault(
        "a pool that was loaded is not the one that Encode would make",
        "app/server/keeping.py",
        "session.settings, session.template = found.settings, found.template",
        "session.template = found.template",
        "app/server/keeping",
    ),
    Fault(
        "what was taught is lost with a second file",
        "app/server/appending.py",
        "session.set_taught(lessons)",
        "pass",
        "app/server/keeping",
    ),
    core("a saved setup forgets what was appended", "saved",
         '"blocks": [list(block.rows) for block in encoded.blocks],',
         '"blocks": [list(block.rows) for block in plan.blocks],', "saved_setups"),
    core("an interval of ten trials is one of a thousand", "intervals", "spread = hits / trials, z * z / trials",
         "spread = hits / trials, z * z / trials / 100", "intervals"),
    core("a label in a workbook may be a formula", "files/annotated",
         'cell.value, cell.data_type = ILLEGAL_CHARACTERS_RE.sub("", value), "s"',
         'cell.value = ILLEGAL_CHARACTERS_RE.sub("", value)', "files/annotated"),
    core("answers stand a row too high below titles", "files/annotated", "places = [first + number for number",
         "places = [number + 1 for number", "files/annotated"),
    Fault(
        "a correction is a merit of the method",
        "app/server/batch.py",
        "for answer, gold in zip(self._answers[:], self.rows.gold, strict=False)",
        "for answer, gold in zip(self.answers(), self.rows.gold, strict=False)",
        "app/server/classifying",
    ),
    Fault(
        "what is taught meanwhile is not read",
        "app/server/classifying.py",
        "(now := with_lessons(session, pool.setup)) is not read:",
        "False:",
        "app/server/classifying",
    ),
    Fault(
        "rows that were not reached are left out of the file",
        "app/server/batch.py",
        "return found + [RowAnswer.none(self.stopped or NOT_REACHED)] * (self.total - len(found))",
        "return found",
        "app/server/classifying",
    ),
    Fault(
        "what is tried goes on beside a new query",
        "app/server/asking.py",
        '("measure", "what_if", "query")',
        '("measure", "query")',
        "app/server/what_if",
    ),
    Fault(
        "a comparison is over once something was tried",
        "app/server/what_if.py",
        'if workspace.job(session, "what_if") is trying:',
        "if False:",
        "app/server/what_if",
    ),
    Fault(
        "a trial keeps its warm-up",
        "app/server/what_if.py",
        "if found.cold:",
        "if not found:",
        "app/server/what_if",
    ),
    Fault(
        "what is pinned goes with the oldest",
        "app/server/history.py",
        "if past.run in session.pinned or past in free)",
        "if past in free)",
        "app/server/history",
    ),
    # Weights of fewer bits.
    core("weights are read as they were saved whatever is asked for", "model/loading",
         "        if asked is not None:\n            options", "        if False:\n            options", "weights"),
    core("a rounded model has the name of the whole one", "model/language_model",
         'name if weights == AS_SAVED else f"{name}, {weights} weights"', "name", "weights"),
    core("LLM.int8() is accepted", "model/weights",
         'told.get("load_in_8bit") or told.get("_load_in_8bit") or (', "(", "weights"),
    core("one scale for the activations of all tokens is accepted", "model/weights",
         '("DynamicActivation" in kind and "PerTensor" in kind)', "False", "weights"),
    core("what was saved rounded is rounded once more", "model/loading",
         "if asked is not None and kept != AS_SAVED:", "if False:", "weights"),
    core("a rounded model is moved like another", "model/loading",
         'options |= {"device_map": {"": placed.device}}', "pass", "weights"),
    Fault("a source's weights are forgotten", "app/server/models.py",
          "dbsa.LanguageModel.load(place, weights=weights)", "dbsa.LanguageModel.load(place)", "app/server/models"),
    core("rows that are held out are read", "setup",
         "return self.held_out | self.outdated", "return self.outdated", "reject/reject"),
    core("a pool that is planned anew holds what is held out", "planning",
         "lengths[row] = longest + 1", "lengths[row] += 0", "reject/reject"),
    core("a row is held out, and its text stands elsewhere", "validation",
         "{equal for row in drawn for equal in setup.task.rows_equal_to(_text(setup, row))}", "set(drawn)",
         "reject/reject"),
    core("rows are asked about whose text is in a block", "validation",
         "if _text(setup, row) not in encoded]", "if row not in setup.rows]", "reject/reject"),
    core("a label loses its last row", "validation",
         "return [row for row in rows if row not in kept]", "return rows", "reject/reject"),
    core("disputed and taught rows are asked about", "validation",
         "if all(other.label == demonstrations[row].label and not other.taught for other in equal):", "if equal:",
         "reject/reject"),
    core("what is held out is like itself", "reject/signs",
         "alike[list(setup.held_out)] = 0.0", "alike[[]] = 0.0", "reject/reject"),
    core("the label out of scope is the best one", "reject/signs",
         "if index != out]", "]", "reject/reject"),
    core("signs count against their meaning", "reject/fitting",
         "[(0.0, None)] * columns.shape[1]", "[(None, None)] * columns.shape[1]", "reject/fitting"),
    core("kinds of rows weigh by their number", "reject/fitting",
         "0.5 / fits.sum(), 0.5 / (~fits).sum()", "1 / len(fits), 1 / len(fits)", "reject/fitting"),
    core("the threshold is the best one", "reject/fitting",
         "if point.balanced >= least)", "if point.balanced >= best.balanced)", "reject/fitting"),
    core("noise refuses", "reject/fitting",
         "_chosen(points, fits) if _tells(scores, fits) else points[0]", "_chosen(points, fits)", "reject/fitting"),
    core("an option is fitted to the method itself", "reject/fitting",
         "copy.copy(method).fit(drawn.setup)", "method.fit(drawn.setup)", "reject/reject"),
    core("a taught text is refused", "prediction",
         "return self.taught is None and self.verdict is not None and self.verdict.refuses",
         "return self.verdict is not None and self.verdict.refuses", "reject/reject"),
    core("what is not refused may have the label out of scope", "stage2/label_scores",
         "if self.label != label or len(self.labels) == 1:", "if True:", "reject/reject"),
    core("an unknown word costs no likeness", "retrieve/bm25",
         "self.idf.get(word, rarest)", "self.idf.get(word, 0.0)", "retrieve/bm25"),
    Fault("an option judges what it was not fitted to", "app/server/rejecting.py",
          "or fitted.of != _key(session, setup, settings, method):", "or not fitted.of:", "app/server/rejecting"),
    Fault("a cell of a matrix leads to more rows than it counts", "app/evaluation/cut.py",
          "(gold[at], predicted[at]) == (self.gold, self.answer)", "gold[at] == self.gold", "app/server/evaluating"),
    Fault("texts stand beside the answers to others while a sample is asked", "app/evaluation/answers.py",
          "_row(run, at, places[at])", "_row(run, at, at)", "app/server/evaluating"),
    Fault("an evaluation goes on with one of other settings", "app/server/evaluating.py",
          "not run.whole and run.settings == settings", "not run.whole", "app/server/evaluating"),
    Fault("an evaluation that is over holds its pool", "app/server/evaluated.py",
          "self.stage, self._so_far = None, None", "self.stage = None", "app/server/evaluating"),
    Fault("runs on other rows are compared row by row", "app/evaluation/beside.py",
          'if first.settings["test"] != run.settings["test"]:', "if False:", "app/server/evaluating"),
    # Retrievers.
    core("a short block is judged as if it had three rows", "retrieve/dense",
         "np.maximum(there.sum(axis=1), 1)", "NEAREST", "retrieve/dense"),
    core("what has nothing in common has a place too", "retrieve/hybrid",
         "np.flatnonzero(scores > 0)", "np.arange(len(scores))", "retrieve/dense"),
    core("equal scores undo a diverse order", "retrieve/diverse",
         "max(found[place], np.nextafter(least, np.inf))", "found[place]", "retrieve/dense"),
    core("labels that were there are not remembered", "retrieve/diverse",
         "            covered[new] = True\n", "", "retrieve/dense"),
    core("documents that repeat most come first", "retrieve/diverse",
         "worth - REPEATING * repeats(", "worth + REPEATING * repeats(", "retrieve/dense"),
    core("a common word counts for nothing", "retrieve/bm25",
         "                scores += gains\n", "                pass\n", "retrieve/bm25"),
    core("rows that are known are embedded again", "retrieve/embeddings",
         "if self._before is not None:", "if False:", "retrieve/embeddings"),
    core("vectors of another encoder are taken from the disk", "retrieve/embeddings",
         "hashlib.blake2b(probe.tobytes(), digest_size=20)", "hashlib.blake2b(digest_size=20)", "retrieve/embeddings"),
    core("single texts go another way whatever comes out", "retrieve/alone",
         "np.abs(one - two).max() < CLOSE", "True", "retrieve/embeddings"),
    core("similar rows are found by words whatever is chosen", "methods/dbsa",
         "return setup.task.row_retriever(self.settings).rank(text)", "return setup.task.row_index.rank(text)",
         "retrieval"),
    core("Retrieval ICL goes by words whatever is chosen", "methods/retrieval_icl",
         "setup.task.row_retriever(self.settings).rank(text)", "setup.task.row_index.rank(text)", "retrieval"),
    core("queries are embedded one by one", "methods/answering",
         'if "embedder" in self.uses and', 'if "none" in self.uses and', "retrieval"),
    core("a retriever is kept for another seed", "settings",
         'self.seed if name == "random" else None', "None", "settings methods"),
    core("votes weigh nothing", "setup",
         "settings.vote_weight * np.sum(each, axis=0)", "0 * np.sum(each, axis=0)", "votes"),
    core("a new label is voted against", "classifiers",
         "found.max(axis=1, keepdims=True)", "found.min(axis=1, keepdims=True)", "votes"),
    core("votes are not bounded", "classifiers",
         "np.maximum(self._log_probs(featured), LEAST_VOTE)", "self._log_probs(featured)", "votes"),
    core("words are counted linearly", "classifiers",
         "1.0 + np.log(np.fromiter(counts.values(), np.float64, len(counts)))",
         "np.fromiter(counts.values(), np.float64, len(counts))", "votes"),
    core("the paper's method has votes", "methods/__init__",
         'fresh_demonstrations=0, votes="none", vote_weight=0.0), name="dbsa"', 'fresh_demonstrations=0), name="dbsa"',
         "votes"),
    core("the best label of one pass is the model's own", "stage2/scoring",
         "(log_probs if walk.votes is None else log_probs + walk.votes).argmax()", "log_probs.argmax()",
         "stage2/scoring"),
    core("best-first expands by the model alone", "stage2/scoring",
         "-log_prob - most, node", "-log_prob, node", "stage2/scoring"),
    core("what is left open is bounded by the model alone", "stage2/label_scores",
         "np.exp(part.log_mass + added[list(part.labels)] - best)",
         "np.exp(part.log_mass + 0 * added[list(part.labels)] - best)", "stage2/scoring"),
    core("probabilities are the model's own", "stage2/label_scores",
         "np.exp(self.log_probs + added - best)", "np.exp(self.log_probs - self.log_probs[self.best])",
         "stage2/scoring"),
    core("a weight is fitted to answers with votes", "voting",
         'replace(settings, votes="none")', "settings", "votes"),
    core("the weight of votes is not drawn to 1", "voting", "PRIOR = 4.0", "PRIOR = 1e-9", "votes"),
    core("a lesson forgets the classifiers", "setup",
         "longer._classifiers.update(self._classifiers)", "longer._classifiers.clear()", "votes"),
    core("a row of the same text speaks for a suspect", "label_issues",
         "[*setup.unread, *task.rows_equal_to(text)]", "[*setup.unread, row]", "label_issues"),
    core("rows of one text are judged by each other", "label_issues",
         "of_text[demonstrations[row].text.casefold()] for row in rows]", "at % FOLDS for at, row in enumerate(rows)]",
         "label_issues"),
    core("the model has read what it is asked about", "label_issues",
         ".fit(setup.without(unread))", ".fit(setup)", "label_issues"),
    core("what is held out speaks for a suspect", "label_issues",
         "[*setup.unread, *task.rows_equal_to(text)]", "[*task.rows_equal_to(text)]", "label_issues"),
    core("a label loses more than half of its rows", "label_issues",
         "most[suspect.label] -= 1", "most[suspect.label] -= 0", "label_issues"),
    core("the last classifier judges alone", "label_issues",
         "votes[folds == fold] += votes_on_rows", "votes[folds == fold] = votes_on_rows", "label_issues"),
    core("a weight is judged by rows that it was fitted to", "tuning/trial",
         "likeliest_weight(shares[rest], mine[rest], gold[rest])", "likeliest_weight(shares, mine, gold)",
         "tuning/running"),
    core("the best of many is taken for better", "tuning/choice",
         "min(1.0, (len(p_values) - rank) * p_values[at])", "min(1.0, p_values[at])", "tuning/choice"),
    core("what is faster may be less accurate", "tuning/choice",
         "return candidate.against(than).difference.low >= -MARGIN", "return True", "tuning/choice"),
    core("what nothing beats is whatever is fast", "tuning/choice",
         "if (right := int(candidates[at].right.sum())) > best:", "if (right := int(candidates[at].right.sum())) >= 0:",
         "tuning/choice"),
    core("the model's answer counts for nothing", "label_issues",
         "if answer.label != suspect.label:", "if True:", "label_issues"),
    Fault("what blocks without a column got is lost", "app/ask/heads.py",
          "return columns if own.all() else np.concatenate(", "return columns if True else np.concatenate(",
          "app/ask/heads"),
    Fault("a head's spread is its entropy", "app/ask/shown.py",
          "return np.exp(entropy).astype", "return entropy.astype", "app/ask/heads"),
    Fault("the spread is sent as if there were one part", "app/ask/heads.py",
          "packed(attention.spread / parts,", "packed(attention.spread,", "app/ask/heads"),
    Fault("a row's share is that of the whole context", "app/ask/heads.py",
          "return np.clip(by_row / whole, 0, 1)", "return np.clip(by_row, 0, 1)", "app/ask/heads"),
    Fault("rows are kept of the blocks with least", "app/ask/by_row.py",
          "key=lambda span: -shares[span]", "key=lambda span: shares[span]", "app/ask/heads"),
    core("a token has what one head gave it", "stage2/tail",
         "+= weights.mean(0)", "+= weights[0]", "stage2/query_attention"),
    core("a part has the tokens of the whole context", "prediction",
         "tokens[part.start : part.ends[-1]] for part", "tokens[: part.ends[-1]] for part", "stage2/query_attention"),
    core("a word loses the space before it", "token_texts",
         "self._decoded([*ids, *ids])[len(self._decoded(ids)) :]", "self._decoded(ids)", "token_texts"),
    core("a sign of several tokens is each one's part", "token_texts",
         "if _UNREADABLE in text:", "if False:", "token_texts"),
    Fault("a block saw no shared first one", "app/ask/by_token.py",
          '[("sink", sinks), ("previous", near)]', '[("previous", near)]', "app/ask/by_token"),
    Fault("a similar row saw blocks alone", "app/ask/by_token.py",
          "sum(map(len, attention.by_token[:span]))", "sum(map(len, attention.by_token[:blocks]))", "app/ask/by_token"),
    Fault("tokens are told of the parts with least", "app/ask/by_token.py",
          "-shares[span].sum()", "shares[span].sum()", "app/ask/by_token"),
    Fault("tokens say what was left out", "app/away/page.py",
          "replace(tokens, texts=())", "tokens", "app/away/page"),
    core("a beginning of text is the first row's", "methods/dbsa",
         "first, own = ((start + before,), (START,)) if before else ((), ())", "first, own = (), ()",
         "stage2/query_attention"),
    core("a window begins a token too late", "stage2/tail",
         "first = 0 if window is None else max(0, scores.shape[-1] - window)",
         "first = 0 if window is None else max(0, scores.shape[-1] - window + 1)", "stage2/query_attention"),
    core("what a sink score takes is lost", "stage2/tail",
         "mass.nowhere[layer] = (1 - weights.sum(-1)).clamp(min=0)", "pass", "stage2/query_attention"),
    core("a span has the mass of the one before", "prediction",
         "firsts = np.cumsum([0, *counts[:-1]])", "firsts = np.cumsum([0, *counts[1:]])", "stage2/query_attention"),
    Fault("a label's number is that of all its rows", "app/server/exploring.py",
          "self._by_label(found & of_length)", "self._by_label(found)", "app/server/exploring"),
    Fault("a length that nobody chose has no row", "app/server/exploring.py",
          "if least < 0:", "if least <= 0:", "app/server/exploring"),
    Fault("the same press asks for the same again", "app/server/exploring.py",
          "if conditions and all(", "if False and all(", "app/server/exploring"),
    Fault("rows that have a problem are left out as if they were in use", "app/server/curating.py",
          "rows.numbers[rows.state == state].tolist()", "rows.numbers.tolist()", "app/server/curating"),
    Fault("a name is lost with the last row of its label", "app/server/data.py",
          "called |= {own: name for own, name in names.items() if own not in called}", "pass", "app/server/curating"),
    Fault("data that come to the example's are other data", "app/server/workspace.py",
          "            data = own\n", "            pass\n", "app/server/curating"),
    Fault("a saved pool forgets what was left out", "app/server/keeping.py",
          'tuple(data.get("excluded", ()))', "()", "app/server/curating"),
    Fault("rows of another label are written", "app/server/curating.py",
          "data.table.frame.iloc[places]", "data.table.frame.iloc[places - 1]", "app/server/curating"),
    Fault("a problem shows its rows under the label that was chosen", "app/explore/problems.py",
          "Press({**ALONE, \"problem\": kind})", "Press({\"problem\": kind})", "app/explore/views"),
    core("a plan takes every pattern for as fast", "speed",
         "(weights + each * mask_area(lengths, pattern) / tokens) / (weights + each * then)", "1", "speed"),
    core("full attention keeps a window", "settings",
         '"full": (sinks, FULL_WINDOW)', '"full": (sinks, window)', "settings methods"),
    core("pairs with first blocks are counted beyond the diagonal", "masks",
         "sinks = _capped(blocks, pattern.sink_blocks)", "sinks = blocks * pattern.sink_blocks",
         "blocks app/mask/figure"),
    Fault("a run of read blocks loses its last", "app/mask/figure.py",
          "found.append((numbers[0], numbers[-1]))", "found.append((numbers[0], numbers[0]))", "app/mask/figure"),
    Fault("texts are taken away unasked", "app/away/page.py",
          "shown = answer if texts else without_texts(answer)", "shown = answer", "app/away/page app/away/files"),
    Fault("a page of long texts is as long as they are", "app/away/page.py",
          "if len(page.encode()) <= LARGEST:", "if True:", "app/away/page"),
    Fault("the CSV of what was read has texts unasked", "app/away/files.py",
          '*([_plain(row.text)] if texts else [])', "_plain(row.text)", "app/away/files"),
    Fault("heads are numbered from 0", "app/away/files.py",
          "(layer + 1, head + 1, name", "(layer, head, name", "app/away/files"),
    core("a plan under another pattern keeps its own", "planning",
         "made, settings=settings, pattern=settings.pattern(len(made.rows))", "made, settings=settings",
         "planning app/mask/patterns"),
    Fault("the whole mask of an answer is linked with nothing", "app/mask/figure.py",
          '"data-linked" if linked else ""', '""', "app/mask/figure"),
    Fault("the end of a job writes controls back", "app/tabs/encode.py",
          "[gr.skip(), *budget, *[gr.skip() for _ in self._controls], *_results",
          "[*self.in_force(session)[: -4 - len(self._live)], *_results",
          "app/server/encode_tab"),
)  # fmt: skip


def stale(fault: Fault, root: Path = ROOT) -> str | None:
    """Why the fault cannot be planted, or None."""
    file = root / fault.file
    times = file.read_text(encoding="utf-8").count(fault.old) if file.is_file() else 0
    if times != 1:
        return f"{fault.name}: its text stands {times} times in {fault.file}, not once; write it anew."
    missing = [path for path in fault.paths if not (root / path).is_file()]
    return f"{fault.name}: there is no {missing[0]}." if missing else None


def copy_tree(folder: Path) -> Path:
    """What tests need, without caches."""
    tree = Path(tempfile.mkdtemp(dir=folder))
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for name in FILES:
        shutil.copy(ROOT / name, tree / name)
    return tree


def run_tests(tree: Path, paths: Sequence[str]) -> tuple[int, str]:
    """pytest's exit code, and the last lines of what it said."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *paths]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    return done.returncode, "\n".join((done.stdout + done.stderr).splitlines()[-15:])


def planted(fault: Fault, folder: Path) -> tuple[int, str]:
    tree = copy_tree(folder)
    try:
        file = tree / fault.file
        file.write_text(file.read_text(encoding="utf-8").replace(fault.old, fault.new), encoding="utf-8")
        return run_tests(tree, fault.paths)
    finally:
        shutil.rmtree(tree)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="plant only faults with this word in their name or file")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first so many of them: goes on with a run")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    parser.add_argument("--list", action="store_true", help="name the faults and plant none")
    arguments = parser.parse_args()
    chosen = [fault for fault in FAULTS if arguments.only.lower() in f"{fault.name} {fault.file}".lower()]
    chosen = chosen[arguments.skip :]
    if arguments.list:
        print("\n".join(f"{fault.file:34s} {fault.name}" for fault in chosen))
        return 0
    errors = [problem for fault in chosen if (problem := stale(fault))]
    if errors or not chosen:
        print("\n".join(errors) or f"No fault has {arguments.only!r} in its name or file.", file=sys.stderr)
        return 2
    begun, survivors = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        paths = sorted({path for fault in chosen for path in fault.paths})
        code, said = run_tests(copy_tree(Path(folder)), paths)
        if code != PASSED:
            print(f"The tests fail without any fault:\n{said}", file=sys.stderr)
            return 2
        results = pool.map(lambda fault: planted(fault, Path(folder)), chosen)
        for fault, (code, said) in zip(chosen, results, strict=True):
            verdict = {PASSED: "SURVIVES", FAILED: "noticed"}.get(code, "ERROR")
            print(f"{time.monotonic() - begun:6.0f} s  {verdict:8s}  {fault.file}: {fault.name}", flush=True)
            if code == PASSED:
                survivors.append(fault)
            elif code != FAILED:
                errors.append(f"{fault.name}: the tests did not run:\n{said}")
    print("\n".join(errors), file=sys.stderr)
    print(f"{len(chosen)} planted, {len(survivors)} survive")
    return 2 if errors else int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
