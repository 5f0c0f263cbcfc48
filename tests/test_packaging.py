"""What is shipped, and with what."""

import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import ovs_jax

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def files(folder: str) -> set[str]:
    """What is tracked or new in a folder, without what Python leaves there."""
    return {
        str(file.relative_to(ROOT))
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_the_wheel_holds_the_package_with_its_assets_and_the_experiments(
    wheel: zipfile.ZipFile,
) -> None:
    shipped = set(wheel.namelist())
    assert files("ovs_jax") <= shipped
    assert {f"ovs_jax/{file}" for file in files("configs")} <= shipped
    assert any(name.endswith("licenses/LICENSE") for name in shipped)
    strangers = {n for n in shipped if not n.startswith(("ovs_jax/", "ovs_jax-"))}
    assert not strangers


def test_the_wheel_says_what_it_is_and_needs(wheel: zipfile.ZipFile) -> None:
    folder = next(n for n in wheel.namelist() if n.endswith("METADATA")).split("/")[0]
    metadata = Parser().parsestr(wheel.read(f"{folder}/METADATA").decode())
    assert metadata["Version"] == ovs_jax.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"gpu", "tpu", "test"} <= set(metadata.get_all("Provides-Extra") or ())
    entry = wheel.read(f"{folder}/entry_points.txt").decode()
    assert "ovs-jax = ovs_jax.cli.main:main" in entry


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    odd = [line for line in entries if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line)]
    assert not odd, "constraints hold names and versions alone"
    return {canonical(line.split("==")[0]): line.split("==")[1] for line in entries}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_requirement_is_pinned_to_a_version_that_it_allows() -> None:
    pinned = pins()
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    for text in wanted:
        requirement = Requirement(text)
        name = canonical(requirement.name)
        assert name in pinned, f"{text} is not in constraints.txt"
        assert requirement.specifier.contains(Version(pinned[name])), f"{text}: {pinned[name]}"


def test_the_versions_agree() -> None:
    assert PROJECT["version"] == ovs_jax.__version__
    assert f"version: {ovs_jax.__version__}" in (ROOT / "CITATION.cff").read_text()
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert "## Unreleased" in changelog or f"## {ovs_jax.__version__}" in changelog
