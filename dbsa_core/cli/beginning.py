"""What several commands begin with: the model and the plan, and the label that is out of scope.

Knows nothing about what is done with them.
"""

from __future__ import annotations

import argparse
import time

from dbsa_core.cli.files import Data
from dbsa_core.cli.options import Choices
from dbsa_core.cli.output import Console
from dbsa_core.devices import unused_gpu
from dbsa_core.methods import Setup
from dbsa_core.model.language_model import LanguageModel
from dbsa_core.planning import plan
from dbsa_core.scope import checked_out_of_scope, guessed_out_of_scope
from dbsa_core.task import Task


def set_up(args: argparse.Namespace, chosen: Choices, data: Data, console: Console) -> Setup:
    """The model, and the plan of what is encoded."""
    for note in chosen.notes:
        console.say(note)
    if args.device is None and (unused := unused_gpu()):
        console.say(unused)
    console.say(f"Loading the model {args.model} ...")
    begun = time.perf_counter()
    model = LanguageModel.load(args.model, device=args.device, dtype=args.dtype, weights=args.weights)
    precision = str(model.shape.dtype).removeprefix("torch.")
    console.say(
        f"{model.name} on {model.device}, {precision}, {model.max_positions:,} positions, loaded in "
        f"{time.perf_counter() - begun:.1f} s."
    )
    task = Task(model, data.pool, chosen.template)
    planned = plan(task, chosen.encode)
    console.say(f"{planned.sentence} The limit is {planned.limited_by}.")
    tuned = chosen.tuned.notes(model.name, data.pool.fingerprint) if chosen.tuned else []
    for note in (*planned.notes, *tuned):
        console.say(note)
    return Setup(task, planned)


def out_of_scope_of(args: argparse.Namespace, chosen: Choices, data: Data, console: Console) -> str | None:
    """The label of texts that fit no other one: as given, as it was when settings were tuned, or by its name."""
    if args.no_out_of_scope:
        return None
    tuned = chosen.tuned.out_of_scope if chosen.tuned else None
    if (label := args.out_of_scope if args.out_of_scope is not None else tuned) is not None:
        return checked_out_of_scope(label, data.pool.labels)
    if (found := guessed_out_of_scope(data.pool.labels)) is not None:
        console.say(
            f'The label "{found}" is taken for texts that fit no other one, by its name; --out-of-scope LABEL names '
            "another, --no-out-of-scope none."
        )
    return found
