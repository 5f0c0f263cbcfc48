"""Converts random weights of every published size and compares the outputs with their libraries.

    python scripts/verify_weights.py [--only PART ...] [--photo FILE]

For each kind it writes random full-size weights as their publishers would, runs ``ovs-jax convert``
in a process of its own (time and peak memory are of that process), and compares the outputs with
transformers in float32. Then a photo is segmented with a converted GroupViT and, independently, in
NumPy from the maps of transformers. It takes torch and transformers; exits 1 if anything is outside
its tolerance.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEBI = 1 << 20


@dataclass(frozen=True)
class Row:
    """What came of one model."""

    name: str
    parameters: int
    file_mb: float
    difference: float
    scale: float
    convert_seconds: float
    convert_cpu_seconds: float
    peak_mb: float
    base_mb: float
    compare_seconds: float
    passed: bool


def main() -> int:
    """Reads the arguments, prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], help="models whose name has this in it")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # what a process of its own is asked
    parser.add_argument("--photo", type=Path, help="segment this photo rather than a drawn one")
    parser.add_argument("--no-segmentation", action="store_true", help="compare outputs only")
    parser.add_argument("--no-outputs", action="store_true", help="compare a segmentation only")
    arguments = parser.parse_args()
    if arguments.photo is not None and not arguments.photo.is_file():
        parser.error(f"--photo: expected an image file, got {arguments.photo}")
    if arguments.one:
        return _one(arguments.one)
    from weights.random_models import FULL

    wanted = [n for n in FULL if not arguments.only or any(part in n for part in arguments.only)]
    print(
        f"{'model':36}{'parameters':>12}{'file MB':>9}{'largest difference':>20}"
        f"{'convert s':>11}{'(CPU s)':>9}{'peak MB':>9}{'(imports)':>11}{'compare s':>11}"
    )
    rows = [] if arguments.no_outputs else [_apart(name) for name in wanted]
    passed = all(row is not None and row.passed for row in rows)
    if not arguments.no_segmentation:
        from weights.full_segmentation import compare

        passed = compare(arguments.photo) and passed
    return 0 if passed else 1


def _apart(name: str) -> Row | None:
    """One model, in a process of its own, so that memory is not that of all together."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        print(f"{name:36} FAILED\n{done.stderr}")
        return None
    row = Row(**json.loads(done.stdout.splitlines()[-1]))
    print(
        f"{row.name:36}{row.parameters:>12,}{row.file_mb:9.0f}{row.difference:11.2e} of "
        f"{row.scale:<5.3g}{row.convert_seconds:11.1f}{row.convert_cpu_seconds:9.1f}"
        f"{row.peak_mb:9.0f}{row.base_mb:11.0f}"
        f"{row.compare_seconds:11.1f}  {'pass' if row.passed else 'FAIL'}",
        flush=True,
    )
    return row


def _one(name: str) -> int:
    from weights.random_models import FULL, make

    from ovs_jax.conversion.convert import convert
    from ovs_jax.conversion.verify import verify
    from ovs_jax.nn import functional

    source, config = FULL[name]
    folder = Path(tempfile.mkdtemp(prefix="verify_weights."))
    try:
        path = make(source, config, folder / "published")
        files = [path] if path.is_file() else list(path.glob("*.safetensors"))
        base, _, _ = _measured("import ovs_jax.cli.convert")
        words = ["convert", source, str(path), str(folder / "ours")]
        program = f"from ovs_jax.cli.main import main; assert main({words!r}) == 0"
        peak, seconds, cpu_seconds = _measured(program)
        shutil.rmtree(folder / "ours")
        started = time.monotonic()
        conversion = convert(source, path)
        rows = verify(conversion, path)
        worst = max(rows, key=lambda row: row.difference)
        row = Row(
            name,
            functional.count(conversion.params),
            sum(file.stat().st_size for file in files) / MEBI,
            worst.difference,
            worst.scale,
            seconds,
            cpu_seconds,
            peak,
            base,
            time.monotonic() - started,
            passed=all(row.passed for row in rows) and conversion.config == config,
        )
        print(json.dumps(asdict(row)))
        return 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measured(program: str) -> tuple[float, float, float]:
    """Peak resident memory in MB, wall and CPU seconds of a Python program, on Linux."""
    # Not `resource`: what it tells of a child counts the parent's memory at the fork.
    report = (
        "import re, sys, time; "
        "found = re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read()); "
        "print(found.group(1), time.process_time(), file=sys.stderr)"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{report}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    seconds = time.monotonic() - started
    if done.returncode:
        raise RuntimeError(done.stderr)
    kilobytes, cpu_seconds = done.stderr.splitlines()[-1].split()
    return int(kilobytes) / 1024, seconds, float(cpu_seconds)


if __name__ == "__main__":
    sys.exit(main())
