"""The house stays in order: what is public, which way imports point, and how large a file may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dbsa_core

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "dbsa_core"
LONGEST_FILES = {"dbsa_core": 400, "app": 300}
"""Lines."""

PUBLIC = [
    "METHODS",
    "DBSAError",
    "Demonstration",
    "EncodeSettings",
    "EncodedPool",
    "LanguageModel",
    "Pool",
    "Prediction",
    "PromptTemplate",
    "QuerySettings",
    "Setup",
    "Task",
    "append",
    "build_pool",
    "encode",
    "evaluate",
    "find_label_issues",
    "read_settings",
    "tune",
    "TunedSettings",
    "load_setup",
    "make_method",
    "plan",
    "read_table",
    "save_setup",
]

MAY_IMPORT = {
    "errors": "",
    "interrupt": "errors",
    "ram": "",
    "devices": "errors ram",
    "once": "",
    "background": "",
    # Files to demonstrations.
    "costs": "",
    "intervals": "",
    "folders": "",
    "files.encodings": "",
    "files.layout": "",
    "files.spreadsheet": "",
    "files.sniff": "errors files.encodings files.layout",
    "files.formats": "errors files.layout files.sniff",
    "files.tables": "errors files.sniff files.formats",
    "files.annotated": "files.formats files.tables",
    "files.cells": "files.formats",
    "files.columns": "errors files.formats files.tables files.cells",
    "data": "errors files.formats files.tables files.cells files.columns",
    "example": "",
    # Demonstrations to blocks of ids.
    "plain_text": "",
    "token_texts": "",
    "prompt": "errors data plain_text",
    "blocks": "errors data prompt",
    "masks": "blocks",
    # The model, which knows none of the above.
    "layer_memory": "",
    "attention": "devices interrupt layer_memory once",
    "model.memory": "errors",
    "model.live": "",
    "model.hook": "errors interrupt attention model.rope",
    "model.rope": "errors",
    "model.embedded": "errors",
    "model.weights": "errors",
    "model.loading": "errors folders model.embedded model.weights",
    "model.tracing": "",
    "model.language_model": (
        "errors devices interrupt attention model.hook model.rope model.loading model.tracing model.weights"
    ),
    "model.compiled": "errors model.language_model",
    # Plug-ins that know no model.
    "retrieve": "devices errors folders interrupt",
    "classifiers": "errors retrieve",
    "store": "errors folders layer_memory",
    # Stage 1, stage 2.
    "timing": "devices",
    "stage1.memory": "errors devices layer_memory once model.language_model store",
    "stage1.windows": "attention blocks interrupt layer_memory model.rope model.language_model store",
    "stage1.packed": "attention blocks interrupt model.hook model.language_model model.rope store",
    "stage1.layers": "background blocks model.compiled model.language_model stage1.memory stage1.packed",
    "stage1.progress": "",
    "stage1.chunks": "blocks devices model.language_model store stage1.layers stage1.packed stage1.windows",
    "stage1.working": (
        "attention blocks devices interrupt model.language_model model.live store stage1.chunks stage1.memory "
        "stage1.packed"
    ),
    "stage1.encoding": (
        "errors devices timing data prompt blocks model.memory model.language_model store stage1.memory "
        "stage1.layers stage1.packed stage1.progress stage1.chunks stage1.working"
    ),
    "stage2.prefix": "attention layer_memory store model.language_model stage1.encoding",
    "stage2.rotation": "model.rope stage2.prefix",
    "stage2.tail": "attention stage2.prefix stage2.rotation",
    "stage2.dense_prefill": (
        "devices interrupt attention store model.language_model stage1.memory stage2.prefix stage2.rotation"
    ),
    "stage2.label_scores": "",
    "stage2.trie": "prompt",
    "stage2.in_place": "attention layer_memory model.hook model.language_model model.rope",
    "stage2.step": (
        "attention devices layer_memory model.hook prompt store model.language_model stage2.in_place stage2.prefix "
        "stage2.trie"
    ),
    "stage2.query_batch": "layer_memory prompt model.language_model stage2.in_place stage2.prefix stage2.trie",
    "stage2.steps": (
        "attention background devices prompt store model.compiled model.language_model stage2.prefix stage2.step"
    ),
    "stage2.walks": ("prompt model.hook stage2.prefix stage2.query_batch stage2.step stage2.tail stage2.trie"),
    "stage2.scoring": (
        "devices interrupt prompt model.language_model stage2.prefix stage2.tail stage2.dense_prefill "
        "stage2.label_scores stage2.trie stage2.steps stage2.walks"
    ),
    # What a user decides and gets.
    "settings": "errors blocks classifiers retrieve",
    "prediction": "stage2.label_scores",
    "task": "errors data prompt model.language_model retrieve settings stage2.trie token_texts",
    "speed": "devices data interrupt prompt blocks model.language_model stage1.chunks stage1.encoding",
    "planning": (
        "errors devices prompt blocks store stage1.memory stage1.working model.language_model settings speed task"
    ),
    "saved": (
        "errors folders blocks data prompt model.language_model store stage1.memory stage1.working stage1.encoding "
        "settings setup speed task planning"
    ),
    "setup": (
        "classifiers errors data prompt blocks stage1.encoding stage1.progress retrieve settings speed task planning"
    ),
    "methods": (
        "classifiers devices errors timing data prompt blocks model.memory stage1.progress retrieve stage2.prefix "
        "stage2.dense_prefill stage2.label_scores stage2.scoring settings prediction task planning setup"
    ),
    "scope": "errors",
    "tested": "errors data files.tables",
    "validation": "data devices setup stage1.progress task",
    "label_issues": "classifiers data devices interrupt methods model.language_model prediction settings setup",
    "voting": "errors prediction settings setup stage1.progress methods validation",
    "reject": "data errors prediction scope settings setup stage1.progress methods validation",
    "tuning": (
        "classifiers data devices errors evaluation interrupt methods prediction reject settings setup stage1.progress "
        "validation voting"
    ),
    "evaluation": "costs errors intervals data prediction reject stage1.progress stage2.steps methods",
}
"""For each module or package of the core what it may import of the core; `TOP` may import everything."""
ROOMS = {"files", "model", "stage1", "stage2"}
"""Packages whose modules stand in the table one by one."""
TOP = {"__init__", "__main__", "cli", "quiet"}
WITHOUT_TORCH = [
    *(
        "errors",
        "interrupt",
        "background",
        "folders",
        "intervals",
        "example",
        "files.tables",
        "data",
        "plain_text",
        "prompt",
        "blocks",
        "masks",
    ),
    *("retrieve", "settings", "prediction", "model.embedded", "stage1.progress", "stage2.label_scores"),
]
"""Importing these must load neither PyTorch nor transformers, however indirectly: a page is built from them."""
WITHOUT_TRANSFORMERS = ["devices", "store", "attention"]
"""Importing these must not load transformers."""

FILES = sorted(CORE.rglob("*.py"))


def unit(path: Path) -> str:
    """The module or package of the core that a file belongs to, as the table names it."""
    return unit_of(".".join(path.relative_to(CORE).with_suffix("").parts))


def unit_of(dotted: str) -> str:
    """The same of a name below `dbsa_core`."""
    parts = dotted.split(".")
    return ".".join(parts[:2]) if parts[0] in ROOMS else parts[0]


def imported(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, wherever in the file and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            found.add(node.module or "")
            package = ROOT.joinpath(*(node.module or "").split("."))
            if package.is_dir():  # `from package import module`
                found |= {f"{node.module}.{alias.name}" for alias in node.names if is_module(package / alias.name)}
    return found - {"dbsa_core", *(f"dbsa_core.{room}" for room in ROOMS)} if unit(path) not in TOP else found


def is_module(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_the_public_surface_is_these_names() -> None:
    assert sorted(dbsa_core.__all__) == sorted(PUBLIC)
    assert all(hasattr(dbsa_core, name) for name in PUBLIC)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_imports_point_one_way(path: Path) -> None:
    own = unit(path)
    used = {unit_of(name.removeprefix("dbsa_core.")) for name in imported(path) if name.startswith("dbsa_core.")}
    used -= {own}
    inside = own in TOP or own in {f"{room}.__init__" for room in ROOMS}
    assert inside or own in MAY_IMPORT, f"{own} has no place in the table above"
    if not inside:
        assert used <= set(MAY_IMPORT[own].split()), f"{path.name} may not import {used - set(MAY_IMPORT[own].split())}"


def test_the_table_of_imports_has_no_circle() -> None:
    """A table that allowed circles would forbid nothing."""
    open_units = {name: set(allowed.split()) for name, allowed in MAY_IMPORT.items()}
    while open_units:
        free = {name for name, waits in open_units.items() if not waits}
        assert free, f"these import each other in a circle: {sorted(open_units)}"
        open_units = {name: waits - free for name, waits in open_units.items() if name not in free}
    units = {unit(path) for path in FILES if path.name != "__init__.py" or path.parent.name not in ROOMS}
    assert set(MAY_IMPORT) == units - TOP, "the table names modules that are gone"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_knows_no_screen(path: Path) -> None:
    screens = {"app", "gradio"} if path == CORE / "evaluation" / "html.py" else {"app", "gradio", "plotly"}
    assert not {name.split(".")[0] for name in imported(path)} & screens


@pytest.mark.parametrize("name", ["retrieve", "store"])
def test_retrieval_and_stores_import_no_transformers(name: str) -> None:
    for path in (CORE / name).rglob("*.py"):
        assert not {module.split(".")[0] for module in imported(path)} & {"transformers"}, path


@pytest.mark.slow
def test_nothing_but_what_needs_them_loads_pytorch_and_transformers() -> None:
    script = (
        "import importlib, sys\n"
        f"for name in {WITHOUT_TORCH!r}: importlib.import_module('dbsa_core.' + name)\n"
        "assert not {'torch', 'transformers', 'gradio'} & set(sys.modules)\n"
        f"for name in {WITHOUT_TRANSFORMERS!r}: importlib.import_module('dbsa_core.' + name)\n"
        "assert not {'transformers', 'gradio'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_page_is_built_before_pytorch_is_loaded() -> None:
    """Models load behind a server that listens already."""
    script = (
        "import sys\n"
        "from app.launch import build\n"
        "from app.server.example import Example\n"
        "from app.server.workspace import Workspace\n"
        "workspace = Workspace()\n"
        "workspace.example = Example(workspace)\n"
        "build(workspace)\n"
        "assert workspace.example.recorded is not None\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_modules_are_named_by_what_lives_there() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    names = {path.stem for folder in (CORE, ROOT / "app", ROOT / "tests") for path in folder.rglob("*.py")}
    assert not names & vague


@pytest.mark.parametrize("folder", [CORE, ROOT / "app"], ids=lambda folder: folder.name)
def test_no_name_is_both_a_module_and_a_function(folder: Path) -> None:
    """Else `dbsa_core.plan` would be one or the other, whichever was imported last."""
    files = list(folder.rglob("*.py"))
    modules = {path.stem for path in files} | {path.parent.name for path in files}
    functions = {
        node.name
        for path in files
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert not modules & functions


def test_no_file_outgrows_its_idea() -> None:
    long = {}
    for folder, most in LONGEST_FILES.items():
        for path in (path for kind in ("*.py", "*.js") for path in (ROOT / folder).rglob(kind)):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > most:
                long[str(path.relative_to(ROOT))] = lines
    assert not long, f"more lines than {LONGEST_FILES}, split them by idea: {long}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORE)))
def test_a_module_says_what_lives_there(path: Path) -> None:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert said is not None
    assert said.splitlines()[0].strip()


def test_one_place_registers_with_transformers_and_nobody_reads_the_environment_below_loading() -> None:
    registering = [path for path in FILES if ".register(" in path.read_text(encoding="utf-8")]
    assert [unit(path) for path in registering] == ["model.hook"]
    reading = {unit(path) for path in FILES if "os.environ" in path.read_text(encoding="utf-8")}
    assert reading <= {"folders", "model.embedded", "model.loading"} | TOP
