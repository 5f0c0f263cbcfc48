"""The rules of the code base that a machine can check."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ovs_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
ALL_FILES = sorted(
    [*FILES, *(ROOT / "configs").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]
    + sorted((ROOT / "tests").rglob("*.py"))
)

# What a room of the package may import besides itself. The way is one: nothing here is circular.
ARRAYS = {"nn", "typing"}
MAY_IMPORT = {
    "typing": set(),
    "interpolation": {"typing"},
    "nn": {"typing", "interpolation"},
    "losses": {"typing", "interpolation"},
    "text": {"typing"},
    "viz": {"typing"},
    "data": {"text", "typing"},
    "models": {*ARRAYS, "interpolation"},
    "parallel": ARRAYS,
    "conversion": {*ARRAYS, "models"},
    "evaluation": {*ARRAYS, "models", "parallel", "data", "text", "viz", "interpolation"},
    "training": {
        *ARRAYS, "models", "parallel", "data", "text", "viz", "losses", "evaluation",
    },
}  # fmt: skip
TOP = {"api", "cli", "demo", "__main__", "__init__"}
WITHOUT_JAX = {"data", "text", "viz", "typing"}
FORBIDDEN_NNX = {
    "jit", "grad", "value_and_grad", "scan", "vmap", "remat", "cond", "Optimizer", "metrics",
    "state", "update", "split", "merge", "view", "to_pure_dict", "eval_shape",
}  # fmt: skip
SEAM = PACKAGE / "nn" / "functional.py"
MAY_HOLD_A_MESH = {PACKAGE / "parallel.py"}
NAMELESS = re.compile(r"utils?|helpers?|misc|common|v\d+|legacy")


def room(file: Path) -> str:
    first = file.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def attributes(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Dotted names such as ``nnx.jit`` with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}", node.lineno


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_room_imports_only_what_stands_to_its_right(file: Path) -> None:
    here = room(file)
    if here in TOP:
        return
    assert here in MAY_IMPORT, f"{file}: a room that the table of layers does not know"
    for name in imports(parsed(file)):
        parts = name.split(".")
        if parts[0] != "ovs_jax" or len(parts) < 2:
            continue
        allowed = MAY_IMPORT[here] | {here}
        assert parts[1] in allowed, f"{file}: {here} may import {sorted(allowed)}, not {name}"


def test_the_layers_have_no_circle() -> None:
    left = dict(MAY_IMPORT)
    while left:
        free = [name for name, needs in left.items() if not needs & left.keys()]
        assert free, f"these import each other: {sorted(left)}"
        for name in free:
            del left[name]


@pytest.mark.parametrize(
    "file", [f for f in FILES if room(f) in WITHOUT_JAX], ids=lambda f: str(f.relative_to(PACKAGE))
)
def test_what_input_workers_import_is_free_of_jax(file: Path) -> None:
    for name in imports(parsed(file)):
        assert name.split(".")[0] not in {"jax", "flax", "optax", "orbax"}, f"{file}: {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_flax_is_used_within_its_small_vocabulary(file: Path) -> None:
    for name, line in attributes(parsed(file)):
        owner, attribute = name.split(".")
        if owner == "nnx" and file != SEAM:
            assert attribute not in FORBIDDEN_NNX, f"{file}:{line}: {name}"
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.Attribute) and node.attr in {"train", "eval"}:
            called = f"{file}:{node.lineno}: .{node.attr}"
            assert not isinstance(node.ctx, ast.Store) or file.parent.name == "nn", called


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_arrays_of_variables_are_read_with_brackets(file: Path) -> None:
    if room(file) in {"nn", "models", "training", "conversion", "losses"}:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"\.value\b(?!\()", text), f"{file}: use [...] in place of .value"


def test_one_file_makes_a_mesh() -> None:
    makers = {
        file
        for file in FILES
        for name, _ in attributes(parsed(file))
        if name in {"jax.make_mesh", "sharding.Mesh"}
    }
    calls = {
        file
        for file in FILES
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Mesh"
    }
    assert makers | calls == MAY_HOLD_A_MESH


@pytest.mark.parametrize("file", ALL_FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_a_file_is_short_and_has_a_telling_name(file: Path) -> None:
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{file} has {lines} lines; find the second reason to change in it"
    for part in file.relative_to(ROOT).with_suffix("").parts:
        assert not NAMELESS.fullmatch(part), f"{file}: '{part}' does not say what is in it"


@pytest.mark.parametrize("file", ALL_FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_no_default_hides_at_the_place_of_use(file: Path) -> None:
    for name, line in attributes(parsed(file)):
        assert name != "config.get", f"{file}:{line}: defaults stand in configs and dataclasses"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_inputs_are_not_checked_with_assert(file: Path) -> None:
    found = [node.lineno for node in ast.walk(parsed(file)) if isinstance(node, ast.Assert)]
    assert not found, f"{file}: assert in lines {found}; raise an error that names the field"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_the_tests_mirror_the_package(file: Path) -> None:
    """A module has a test file of its name, or is tested with the rest of its folder."""
    if file.name == "__init__.py":
        return
    inside = file.relative_to(PACKAGE)
    tests = ROOT / "tests"
    own = tests / inside.with_name(f"test_{inside.name}")
    folder = tests / inside.parent
    folder_file = tests / inside.parent.with_name(f"test_{inside.parent.name}.py")
    has_folder = folder.is_dir() and any(folder.glob("test_*.py"))
    assert own.is_file() or has_folder or folder_file.is_file(), f"no tests for {inside}"
