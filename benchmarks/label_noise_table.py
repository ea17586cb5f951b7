"""The table of labels that were made wrong and found again: a part of docs/RESULTS.md."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from benchmarks.markdown import ALL_SETS, number, paragraph, versions

_NOISES = {"random": "another label at random", "alike": "the label of the nearest row that has another one"}
_FIRST, _LAST = "classifiers", "model"


def label_noise_section(found: dict[str, Any]) -> list[str]:
    """One line a way, means of the sets."""
    config, by_way = found["config"], _by_way(found)
    sets = {row["dataset"] for row in found["rows"]}
    names = ", ".join(name for key, name in ALL_SETS.items() if key in sets)
    lines = [
        "## Labels that may be wrong",
        "",
        paragraph(
            f"`python benchmarks/label_noise.py --model ...`: {config['model']}, seed {config['seed']};",
            f"{found['device']}, {found['dtype']}, {versions(found)}. In the training files of {names},",
            f"{100 * config['share']:g} % of the labels were replaced; means of the sets. A list holds the rows whose",
            "label is disputed by classifiers of other rows; of these, by the nearest rows too; of these, by the model",
            f"too, which was asked about {config['asked']:,} rows at most. *Precision* is the share of the list that",
            "was made wrong: the files have wrong labels of their own, which count as right here. Lists are in the",
            "order of the classifiers' margins, but for *in its order*, by the model's probability of the row's own",
            "label. *For the same label* are rows for which the model answers the label that the classifiers find",
            "likeliest. The first column says which classifiers there are, whether they vote beside the model, and by",
            "what rows are found.",
        ),
        "",
        "| read | disputed by | listed | precision | of the first 100 | recall | average precision | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for noise, said in _NOISES.items():
        lines.append(f"| **{said}** | | | | | | | |")
        for (of, way), row in by_way.items():
            read, _, disputed = way.partition(": ")
            if of == noise:
                lines.append(
                    f"| {read} | {disputed} | {number(row['listed'])} | {row['precision']:.3f} | "
                    f"{row['precision_of_100']:.3f} | {row['recall']:.3f} | {row['average_precision']:.3f} | "
                    f"{number(row['seconds'])} |"
                )
    return [*lines, "", _said(by_way)]


def label_noise_sentence(found: dict[str, Any]) -> str:
    """How many are found, by words alone, and by words and vectors."""
    by_way = _by_way(found)
    plain, rich = ([by_way[noise, f"{which}: {_LAST}"] for noise in _NOISES] for which in _least_and_most(by_way))
    (plain_random, plain_alike), (rich_random, rich_alike) = plain, rich
    found_of = [f"{100 * row['recall']:.0f} %" for row in (plain_random, rich_random, plain_alike, rich_alike)]
    return paragraph(
        f"Of labels that were made wrong at random in {len({row['dataset'] for row in found['rows']})} training files,",
        f"{found_of[0]} are listed, {found_of[1]} where sentence vectors are used; of labels that were mixed up with",
        f"those of similar rows, {found_of[2]} and {found_of[3]}. Of the first 100 rows of a list,",
        f"{100 * plain_alike['precision_of_100']:.0f} to {100 * rich_random['precision_of_100']:.0f} %",
        "were made wrong:",
        "[docs/RESULTS.md](docs/RESULTS.md#labels-that-may-be-wrong).",
    )


def _by_way(found: dict[str, Any]) -> dict[tuple[str, str], dict[str, float]]:
    rows = defaultdict(list)
    for row in found["rows"]:
        rows[row["noise"], row["way"]].append(row)
    numbers = ("listed", "precision", "precision_of_100", "recall", "average_precision", "seconds")
    return {key: {name: sum(row[name] or 0.0 for row in of) / len(of) for name in numbers} for key, of in rows.items()}


def _least_and_most(by_way: dict[tuple[str, str], dict[str, float]]) -> tuple[str, str]:
    """What is read in the first way, and in the last."""
    read = [way.partition(": ")[0] for _, way in by_way]
    return read[0], read[-1]


def _said(by_way: dict[tuple[str, str], dict[str, float]]) -> str:
    """What the model adds, and in what order to read."""
    plain, rich = _least_and_most(by_way)

    def of(noise: str, which: str, disputed: str, what: str) -> float:
        return by_way[noise, f"{which}: {disputed}"][what]

    shares = [f"{of(noise, plain, name, 'precision'):.2f}" for noise in _NOISES for name in (_FIRST, _LAST)]
    recalls = [f"{of(noise, plain, name, 'recall'):.2f}" for noise in _NOISES for name in (_FIRST, _LAST)]
    order = [f"{of('alike', plain, name, 'average_precision'):.2f}" for name in (_LAST, f"{_LAST}, in its order")]
    vectors = [f"{of('alike', which, _LAST, 'average_precision'):.2f}" for which in (plain, rich)]
    return paragraph(
        f"Nearest rows and model raise the precision of the list from {shares[0]} to {shares[1]} for labels at random,",
        f"and from {shares[2]} to {shares[3]} for alike ones, and cost recall ({recalls[0]} to {recalls[1]}, and",
        f"{recalls[2]} to {recalls[3]}). They bring nothing to the order: by the model's own probabilities it is worse",
        f"(average precision {order[1]} where the classifiers' order has {order[0]}, alike labels). Vectors bring more",
        f"than the model does ({vectors[0]} to {vectors[1]}). So `find_label_issues` lists what the model disputes, in",
        "the classifiers' order, and uses vectors where rows are found by them; the same label is not asked for.",
    )
