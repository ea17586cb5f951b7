"""What stands at an entry for its tokens, and what is said of them."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest

from app.ask.inside import NOT_APART, inside_view, most_sentence, seen_token, window_sentence
from app.ask.lists import below_view
from app.ask.shown import Before, ShownAnswer, ShownPart, ShownTokens
from app.words import percent
from tests.app.pages import IMAGE, SCRIPT, Tags


def part(shares: list[float], texts: tuple[str, ...] = (), *before: Before, key: str = "block 3") -> ShownPart:
    tokens = ShownTokens(texts, np.array(shares, np.float32), before)
    return ShownPart(key, key.capitalize(), "score 4.8", 4.8, sum(shares), (), tokens)


def attributes(html: str) -> dict[str, str]:
    (found,) = [dict(attributes) for tag, attributes in Tags(html).opened if tag == "details"]
    return {name: value or "" for name, value in found.items()}


def test_shares_and_texts_come_whole(shown: ShownAnswer) -> None:
    for one in shown.parts:
        tokens = one.tokens
        assert tokens is not None
        sent = attributes(inside_view(one, ""))
        shares = (np.frombuffer(b64decode(sent["data-shares"]), "<u2") / 65535) ** 2
        assert shares == pytest.approx(tokens.shares / tokens.shares.sum(), abs=2e-5)
        ends = np.cumsum([int(length) for length in sent["data-lengths"].split()])
        assert [sent["data-text"][end - len(text) : end] for end, text in zip(ends, tokens.texts, strict=True)] == [
            *tokens.texts
        ]
        runs = [run.split(" ", 2) for run in sent["data-before"].split("; ") if run]
        assert runs == [[run.kind, str(run.tokens), run.name] for run in tokens.before]


def test_no_text_of_a_token_is_html() -> None:
    html = inside_view(part([0.1, 0.2], (SCRIPT, IMAGE)), "")
    assert {tag for tag, _ in Tags(html).opened} <= {"details", "summary", "div", "ul", "p", "span"}
    assert attributes(html)["data-text"] == SCRIPT + IMAGE


def test_the_sentence_tells_the_token_with_most_and_how_many_have_half() -> None:
    shares = [0.01, 0.04, 0.02, 0.03]
    named = part(shares, ("Text", " router", "\n", "x")).tokens
    assert named is not None
    got = percent(0.4)
    assert most_sentence(named, "block") == (
        f"Of its 4 tokens, “router” (token 2) got most: {got} of what the block got, as the mean of all heads. Half of "
        "that is on 2 tokens."
    )
    silent = part(shares).tokens
    assert silent is not None
    assert most_sentence(silent, "row").startswith(f"Of its 4 tokens, token 2 got most: {got} of what the row got")
    alone = part([0.2, 0.0]).tokens
    assert alone is not None
    assert most_sentence(alone, "block").endswith("Half of that is on 1 token.")
    none = part([0.0, 0.0]).tokens
    assert none is not None
    assert most_sentence(none, "block") == "The query's last token looked at none of its 2 tokens."


def test_the_sentence_of_what_it_saw() -> None:
    both = Before("sink", "block 1", 1384), Before("previous", "blocks 10 and 11", 1)
    assert window_sentence(part([1.0], (), *both)) == (
        "It was encoded with block 1 (1,384 tokens) and blocks 10 and 11 (1 token) in sight."
    )
    assert window_sentence(part([1.0])) == "It was encoded with nothing before it in sight."
    row = part([1.0], (), Before("previous", "9 blocks", 1384), key="similar 2")
    assert window_sentence(row) == "It was encoded with the query, with 9 blocks (1,384 tokens) in sight."


@pytest.mark.parametrize(
    ("text", "seen"), [(" router", "router"), ("\n", "↵"), ("  ", "␣␣"), (" ", "␣"), ("\t", "⇥"), ("", "")]
)
def test_white_space_is_seen(text: str, seen: str) -> None:
    assert seen_token(text) == seen


def test_the_reach_of_layers_is_said_beside_it() -> None:
    assert "In each layer it ends." in inside_view(part([1.0]), "In each layer it ends.")


def test_a_part_whose_tokens_are_not_told_apart_says_so(shown: ShownAnswer) -> None:
    first, *others = shown.parts
    some = below_view(replace(shown, parts=(replace(first, tokens=None), *others)))
    assert some.count(NOT_APART) == 1
    assert some.count("Token by token") == len(others)
    none = below_view(replace(shown, parts=tuple(replace(part, tokens=None) for part in shown.parts)))
    assert NOT_APART not in none
    assert "Token by token" not in none
