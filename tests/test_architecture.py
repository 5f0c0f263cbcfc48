"""The rules of the code base that a machine can check."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ovs_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
ALL_FILES = [
    *FILES,
    *(
        file
        for name in ("configs", "scripts", "tests")
        for file in sorted((ROOT / name).rglob("*.py"))
    ),
]

# What a room of the package may import besides itself. The way is one: nothing here is circular.
ARRAYS = {"nn", "typing"}
MAY_IMPORT = {
    "typing": set(),
    "interpolation": {"typing"},
    "mapping": set(),
    "chips": set(),
    "nn": {"typing", "interpolation"},
    "losses": {"typing", "interpolation"},
    "text": {"typing"},
    "viz": {"typing"},
    "data": {"text", "typing"},
    "models": {*ARRAYS, "interpolation", "mapping"},
    "parallel": ARRAYS,
    "conversion": {*ARRAYS, "models", "mapping"},
    "evaluation": {
        *ARRAYS, "models", "parallel", "data", "text", "viz", "interpolation", "mapping",
    },
    "training": {
        *ARRAYS, "models", "parallel", "data", "text", "viz", "losses", "evaluation",
        "conversion", "chips",
    },
    "planning": {*ARRAYS, "models", "parallel", "training", "chips"},
}  # fmt: skip
TOP = {"api", "cli", "demo", "__main__", "__init__"}
WITHOUT_JAX = {"data", "text", "viz", "typing", "mapping", "interpolation", "chips"}
FORBIDDEN_NNX = {
    "jit", "grad", "value_and_grad", "scan", "vmap", "remat", "cond", "Optimizer", "metrics",
    "state", "update", "split", "merge", "view", "to_pure_dict", "eval_shape",
}  # fmt: skip
SEAM = PACKAGE / "nn" / "functional.py"
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


def check(faults: list[str]) -> None:
    assert not faults, "\n" + "\n".join(faults)


def test_a_room_imports_only_what_stands_to_its_right() -> None:
    faults = []
    for file in FILES:
        here = room(file)
        if here in TOP:
            continue
        for name in imports(parsed(file)):
            parts = name.split(".")
            allowed = MAY_IMPORT[here] | {here}
            if parts[0] == "ovs_jax" and len(parts) > 1 and parts[1] not in allowed:
                faults.append(f"{file}: {here} may import {sorted(allowed)}, not {name}")
    check(faults)


def test_the_layers_have_no_circle() -> None:
    left = dict(MAY_IMPORT)
    while left:
        free = [name for name, needs in left.items() if not needs & left.keys()]
        assert free, f"these import each other: {sorted(left)}"
        for name in free:
            del left[name]


def test_what_input_workers_import_is_free_of_jax() -> None:
    check(
        [
            f"{file}: {name}"
            for file in FILES
            if room(file) in WITHOUT_JAX
            for name in imports(parsed(file))
            if name.split(".")[0] in {"jax", "flax", "optax", "orbax"}
        ]
    )


def test_flax_is_used_within_its_small_vocabulary() -> None:
    check(
        [
            f"{file}:{line}: {name}"
            for file in FILES
            if file != SEAM
            for name, line in attributes(parsed(file))
            if name.startswith("nnx.") and name[4:] in FORBIDDEN_NNX
        ]
    )


def test_arrays_of_variables_are_read_with_brackets() -> None:
    """``x.value`` is deprecated for Flax variables; a layer may be called so, as in attention."""
    faults = []
    for file in FILES:
        if room(file) not in {"nn", "models", "training", "conversion", "losses"}:
            continue
        tree = parsed(file)
        layers = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        faults += [
            f"{file}:{node.lineno}: use [...] in place of .value"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr == "value"
            if id(node) not in layers and not isinstance(node.ctx, ast.Store)
        ]
    check(faults)


def test_one_file_makes_a_mesh() -> None:
    makers = set()
    for file in FILES:
        tree = parsed(file)
        called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
        names = {node.id for node in called if isinstance(node, ast.Name)}
        names |= {node.attr for node in called if isinstance(node, ast.Attribute)}
        if "Mesh" in names or "jax.make_mesh" in dict(attributes(tree)):
            makers.add(file)
    assert makers == {PACKAGE / "parallel.py"}


def test_files_are_short_and_have_telling_names() -> None:
    faults = []
    for file in ALL_FILES:
        lines = len(file.read_text(encoding="utf-8").splitlines())
        if lines > 400:
            faults.append(f"{file} has {lines} lines; find the second reason to change in it")
        for part in file.relative_to(ROOT).with_suffix("").parts:
            if NAMELESS.fullmatch(part):
                faults.append(f"{file}: '{part}' does not say what is in it")
    check(faults)


def test_no_default_hides_at_the_place_of_use() -> None:
    check(
        [
            f"{file}:{line}: defaults stand in configs and dataclasses"
            for file in ALL_FILES
            for name, line in attributes(parsed(file))
            if name == "config.get"
        ]
    )


def test_inputs_are_not_checked_with_assert() -> None:
    check(
        [
            f"{file}:{node.lineno}: raise an error that names the field"
            for file in FILES
            for node in ast.walk(parsed(file))
            if isinstance(node, ast.Assert)
        ]
    )


def test_every_room_has_tests_under_its_name() -> None:
    rooms = sorted({room(file) for file in FILES if file.parent != PACKAGE})
    tests = ROOT / "tests"
    check([f"no tests for {name}" for name in rooms if not any((tests / name).rglob("test_*.py"))])
