"""Stories through the endpoints for programs, by gradio_client, with a tiny model: answers, and every message."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from app.server.data import Data
from app.server.evaluated import Wanted
from app.server.example import Example
from app.server.reproducing import HERE, Recipe, programs_of
from app.server.workspace import Workspace
from app.tabs.programs import ENDPOINTS
from dbsa_core import EncodeSettings, PromptTemplate, QuerySettings
from dbsa_core.files.tables import read_table
from dbsa_core.tested import read_tested
from tests.app.serving import GRADIO_ON_PANDAS_3, served
from tests.tiny import tiny_model

pytestmark = GRADIO_ON_PANDAS_3
SOON = 60.0
ROWS = [(f"text number {i} about {word}", word) for i in range(12) for word in ("fire", "water", "stone")]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("example")
    (folder / "train.csv").write_text("text,label\n" + "".join(f"{t},{label}\n" for t, label in ROWS), "utf-8")
    model = tiny_model(max_position_embeddings=4096)
    workspace = Workspace(load=lambda source: model)
    workspace.example = Example(workspace, file=folder / "train.csv", cache=folder, tokens=1200)
    workspace.example.start()
    with served(workspace) as url:
        yield url


@pytest.fixture(scope="module")
def connected(url: str) -> Iterator[Client]:
    """Closing one takes a second."""
    client = Client(url, verbose=False)
    yield client
    client.close()


@pytest.fixture
def client(connected: Client) -> Client:
    """As a new visitor."""
    connected.reset_session()
    return connected


def write(path: Path, text: str) -> Any:
    path.write_text(text, encoding="utf-8")
    return handle_file(str(path))


def finished(client: Client) -> dict[str, Any]:
    until = time.monotonic() + SOON
    while (status := client.predict(api_name="/status"))["state"] in ("queued", "running"):
        assert time.monotonic() < until
    return status


def test_only_endpoints_meant_for_programs_are_shown(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    ours = {"/plan", "/encode", "/status", "/stop", "/classify", "/teach", "/reject", "/evaluate"}
    assert set(named) == {*ours, "/load_data", "/load_test"}
    assert all(endpoint["description"] for endpoint in named.values())


def test_a_client_is_told_what_each_parameter_means(client: Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    found = {name.strip("/"): endpoint["parameters"] for name, endpoint in named.items()}
    assert {name: {each["parameter_name"]: each["label"] for each in each_of} for name, each_of in found.items()} == {
        name: dict(endpoint.parameters) for name, endpoint in ENDPOINTS.items()
    }
    assert found["classify"][1]["python_type"]["description"] == ENDPOINTS["classify"].parameters["ratio"]
    required = [each["parameter_name"] for each in found["load_data"] if not each["parameter_has_default"]]
    assert required == ["file"]


def test_each_field_of_an_answer_is_described(client: Client, tmp_path: Path) -> None:
    file = write(tmp_path / "mine.csv", "text,label\n" + "".join(f"{t},{label}\n" for t, label in ROWS[:24]))
    calls: dict[str, tuple[Any, ...]] = {"classify": ("water",), "teach": ("about a brick", "stone"), "status": ()}
    calls |= {"reject": (False,), "evaluate": ("tfidf", 0.3, 8, 3), "load_test": (file,)}
    calls |= {"load_data": (file,), "plan": (), "encode": (), "stop": ()}
    for name, arguments in calls.items():
        assert client.predict(*arguments, api_name=f"/{name}").keys() == ENDPOINTS[name].answer.keys(), name
    assert calls.keys() == ENDPOINTS.keys()


NO_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["Python", pytest.param("curl", marks=NO_CURL)])
def test_the_program_that_the_page_shows_works(url: str, tmp_path: Path, way: str) -> None:
    write(tmp_path / "train.csv", "text,label\n" + "".join(f"{t},{label}\n" for t, label in ROWS[:24]))
    page = httpx.get(f"{url}config").text
    view = next(each["props"]["value"] for each in json.loads(page)["components"] if "Copy the curl" in str(each))
    code = unescape(view.partition(f"<figcaption>{way}</figcaption>")[2].partition("</pre>")[0].partition(">")[2])
    program = [sys.executable, "-c"] if way == "Python" else ["bash", "-c"]
    done = subprocess.run([*program, code.replace(HERE, url)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search("(fire|water|stone)", done.stdout.splitlines()[-1 if way == "Python" else 1])


def test_methods_are_evaluated(client: Client, tmp_path: Path) -> None:
    found = client.predict("dbsa, tfidf", 0.5, 0, 6, 1, api_name="/evaluate")
    assert [each["method"] for each in found["results"]] == ["dbsa", "tfidf"]
    assert [each["n"] for each in found["results"]] == [6, 6]
    assert found["settings"]["methods"]["dbsa"]["ratio"] == 0.5
    assert len(found["comparisons"]) == 1
    test = write(tmp_path / "test.csv", "text,label\nsome water,water\nof nothing,air\n")
    read = client.predict(test, api_name="/load_test")
    assert (read["rows"], read["text_column"], read["label_column"]) == (2, "text", "label")
    assert "it counts as wrong" in " ".join(read["notes"])
    (found,) = client.predict("tfidf", 0.3, 8, None, api_name="/evaluate")["results"]
    assert found["n"] == 2
    for methods, hold_out, problem in (
        ("", 5, "No method is chosen"),
        ("dbsb", 5, "There is no method 'dbsb'"),
        ("dbsa", 0, "0 rows were to be held out"),
    ):
        with pytest.raises(AppError, match=problem):
            client.predict(methods, 0.3, 8, hold_out, api_name="/evaluate")
    client.reset_session()
    with pytest.raises(AppError, match="There is no test file yet"):
        client.predict("tfidf", 0.3, 8, None, api_name="/evaluate")


@pytest.mark.slow
@NO_CURL
@pytest.mark.parametrize("of_file", [False, True])
def test_the_calls_that_repeat_an_evaluation_work(url: str, tmp_path: Path, of_file: bool) -> None:
    write(tmp_path / "it's mine.csv", "text,label\n" + "".join(f"{t},{label}\n" for t, label in ROWS[:24]))
    write(tmp_path / "test.csv", "text,label\nsome water,water\na stone,stone\n")
    data = Data.of(read_table(tmp_path / "it's mine.csv"), names={})
    test = read_table(tmp_path / "test.csv") if of_file else None
    recipe = Recipe(
        data,
        False,
        "embedded",
        PromptTemplate(),
        EncodeSettings(pool_tokens=300, block_size=2, window=1),
        (),
        QuerySettings(ratio=0.5),
        ("dbsa_fresh", "tfidf"),
        "stone",
        True,
        Wanted(of_file, hold_out=6, seed=3),
        test,
        read_tested(test, data.pool.labels) if test is not None else None,
    )
    code = programs_of(recipe)["curl"].replace(HERE, url)
    done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (answer,) = json.loads(done.stdout.splitlines()[-1].removeprefix("data: "))
    assert [each["method"] for each in answer["results"]] == ["dbsa_fresh", "tfidf"]
    settings = answer["settings"]
    assert settings["out_of_scope"] == "stone"
    assert (settings["test"]["rows"], settings["data"]["held_out"]) == ((2, 0) if of_file else (6, 6))
    assert (settings["encode"]["block_size"], settings["encode"]["window"]) == (2, 1)
    assert settings["data"]["fingerprint"] == data.pool.fingerprint


def test_a_query_works_at_once(client: Client) -> None:
    answer = client.predict("something about water", api_name="/classify")
    assert answer["label"] in ("fire", "water", "stone")
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert answer["block_ids"][0] == 0
    assert answer["method"] == "dbsa_fresh"
    assert client.predict("something", 1.0, 0, api_name="/classify")["method"] == "dbsa"


def test_a_row_is_taught(client: Client) -> None:
    taught = client.predict("about a brick", "Wall Stone", api_name="/teach")
    assert taught == {"text": "about a brick", "label": "Wall Stone", "rows_taught": 1}
    answer = client.predict("about a brick", api_name="/classify")
    assert (answer["label"], answer["taught"], len(answer["probabilities"])) == ("Wall Stone", True, 4)
    assert answer["used"]["Taught"] == "1 row"
    with pytest.raises(AppError, match="The label is empty"):
        client.predict("about a brick", "", api_name="/teach")


def test_answers_may_say_that_no_label_fits(client: Client, tmp_path: Path) -> None:
    rows = [*ROWS[:30], *((f"nothing of that kind {i}", "none") for i in range(14))]
    file = write(tmp_path / "mine.csv", "text,label\n" + "".join(f"{t},{label}\n" for t, label in rows))
    client.predict(file, api_name="/load_data")
    client.predict(1200, 4, api_name="/plan")
    client.predict(api_name="/encode")
    found = client.predict(api_name="/reject")
    assert (found["allowed"], found["out_of_scope"]) == (True, "none")
    assert found["rows"] > 10
    assert 0 <= found["oos_recall"] <= 1
    answer = client.predict("nothing of that kind", api_name="/classify")
    assert answer["in_scope_threshold"] == found["threshold"]
    assert 0 <= answer["in_scope_score"] <= 1
    assert client.predict(True, None, 1.0, api_name="/reject")["threshold"] == 1.0
    answer = client.predict("text about water", api_name="/classify")
    assert (answer["label"], answer["probability"]) == ("none", None)
    assert answer["nearest_label"] in ("fire", "water", "stone")
    client.predict(False, api_name="/reject")
    assert client.predict("text about water", api_name="/classify")["in_scope_score"] is None
    with pytest.raises(AppError, match="There is no label 'oos' to be out of scope; give one of the 4 labels"):
        client.predict(True, "oos", api_name="/reject")


def test_plan_encode_and_ask(client: Client, tmp_path: Path) -> None:
    file = write(tmp_path / "mine.csv", "question;kind\n" + "".join(f"{t};{label}\n" for t, label in ROWS[:24]))
    loaded = client.predict(file, api_name="/load_data")
    assert (loaded["rows"], loaded["text_column"], loaded["label_column"]) == (24, "question", "kind")
    assert loaded["notes"] == []
    assert client.predict(api_name="/status")["changed_since"] == []
    with pytest.raises(AppError, match="Press Encode"):
        client.predict("hello", api_name="/classify")
    plan = client.predict(800, 3, 1, 1, api_name="/plan")
    assert plan["tokens"] <= 800
    assert "rows will be encoded" in plan["sentence"]
    client.predict(api_name="/encode")
    status = finished(client)
    assert (status["state"], status["message"]) == ("done", "")
    assert status["blocks_to_read"] == plan["blocks"]
    assert client.predict("water", api_name="/classify")["label"]
    client.predict(800, 4, 1, 1, api_name="/plan")
    assert client.predict(api_name="/status")["changed_since"] == ["the block size (3 to 4)"]
    small = client.predict(800, 3, 1, 1, "int8", api_name="/plan")
    assert small["bytes"] < 0.5 * plan["bytes"]
    assert client.predict(api_name="/status")["changed_since"] == ["how keys and values are kept (model to int8)"]


def test_loading_data_says_what_was_found_in_the_file(client: Client, tmp_path: Path) -> None:
    lines = "".join(f"{t},{label}\n" for t, label in ROWS[:12])
    file = write(tmp_path / "titled.csv", f"Tickets of May\n\ntext,label\n{lines}text,label\n")
    loaded = client.predict(file, "", "", api_name="/load_data")
    assert loaded["rows"] == 12
    assert ["title" in note for note in loaded["notes"]] == [True, False]
    assert "The header stands again" in loaded["notes"][1]


def test_clients_do_not_see_each_other(url: str, client: Client) -> None:
    client.predict(700, 3, api_name="/plan")
    client.predict(api_name="/encode")
    finished(client)
    other = Client(url, verbose=False)
    assert other.predict(api_name="/status")["state"] == "none"
    other.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "The query is empty"),
        (("hello", 0.0), "must be above 0 and at most 1"),
        (("hello", 1.5), "must be above 0 and at most 1"),
        (("hello", 0.3, -1), "similar examples added is -1"),
        (("word " * 3000,), "Shorten the query"),
    ],
)
def test_bad_queries_say_what_is_wrong(client: Client, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(AppError, match=message):
        client.predict(*arguments, api_name="/classify")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "number of pool tokens is 0"),
        ((3,), "Not one row fits"),
        ((800, 0), "Block size .* is 0"),
        ((800, 3, -1), "Window .* is -1"),
        ((800, 3, 1, 1, "int4"), "precision is 'int4'; accepted are"),
    ],
)
def test_bad_settings_say_what_is_wrong(client: Client, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(AppError, match=message):
        client.predict(*arguments, api_name="/plan")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", "", "is empty"),
        ("header.csv", "text,label\n", "no data rows|no rows|header"),
        ("one.csv", "text,label\na b c,x\nd e f,x\n", "one class"),
        ("columns.csv", "id,number\n1,2\n3,4\n", "cannot be guessed"),
    ],
)
def test_bad_files_say_what_is_wrong(client: Client, tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(AppError, match=message):
        client.predict(write(tmp_path / name, content), "", "", api_name="/load_data")


def test_a_column_that_is_not_there_is_named(client: Client, tmp_path: Path) -> None:
    file = write(tmp_path / "train.csv", "text,label\na,x\nb,y\n")
    with pytest.raises(AppError, match=r'has no column "txt".* Did you mean "text"'):
        client.predict(file, "txt", "label", api_name="/load_data")


def test_a_path_on_the_server_is_not_read(url: str, tmp_path: Path) -> None:
    # A path that no upload made; gradio_client would upload the file first, so this speaks to the server itself.
    home = Path(__file__).resolve()
    data = [{"path": str(home), "meta": {"_type": "gradio.FileData"}}, "", ""]
    begun = httpx.post(f"{url}gradio_api/call/load_data", json={"data": data})
    assert begun.status_code == 200
    answer = httpx.get(f"{url}gradio_api/call/load_data/{begun.json()['event_id']}", timeout=SOON).text
    assert answer.startswith("event: error")
    assert "stories through" not in answer.lower()
