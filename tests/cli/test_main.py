"""The command as a whole: help, errors in one line, exit status."""

import argparse
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ovs_jax.cli import main


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch):
    """Makes ``ovs-jax train`` raise an error."""

    def arrange(error: BaseException) -> None:
        def run(arguments: argparse.Namespace) -> int:
            raise error

        def add_arguments(parser: argparse.ArgumentParser) -> None:
            parser.set_defaults(overrides=[])

        module = SimpleNamespace(__doc__="Fails.", add_arguments=add_arguments, run=run)
        monkeypatch.setattr(main.importlib, "import_module", lambda name: module)

    return arrange


@pytest.mark.parametrize(
    "error",
    [
        ValueError("data.source: expected a folder,\n  got 'x'"),
        FileNotFoundError("data.source: expected a folder, got 'x'"),
        FloatingPointError("data.source: expected a folder, got 'x'"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_status_2(
    failing, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    failing(error)
    assert main.main(["train"]) == 2
    shown = capsys.readouterr()
    assert shown.err == "ovs-jax train: data.source: expected a folder, got 'x'\n"
    assert shown.out == ""


def test_an_error_of_the_system_names_its_file(failing, capsys) -> None:
    failing(PermissionError(13, "Permission denied", "/runs"))
    assert main.main(["train"]) == 2
    assert capsys.readouterr().err == "ovs-jax train: /runs: Permission denied\n"


def test_debug_shows_where_an_error_comes_from(failing) -> None:
    failing(ValueError("deep"))
    with pytest.raises(ValueError, match="deep"):
        main.main(["train", "--debug"])


def test_a_defect_of_the_program_is_not_hidden(failing) -> None:
    failing(ZeroDivisionError("a defect"))
    with pytest.raises(ZeroDivisionError):
        main.main(["train"])


def test_an_interrupt_ends_quietly(failing, capsys) -> None:
    failing(KeyboardInterrupt())
    assert main.main(["train"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_without_a_command_the_help_is_shown(capsys) -> None:
    assert main.main([]) == 0
    shown = capsys.readouterr().out
    for command in ("train", "evaluate", "segment", "examples:"):
        assert command in shown


@pytest.mark.parametrize("command", ["train", "evaluate", "segment"])
def test_the_help_of_a_command_has_examples(command: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main.main([command, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert f"ovs-jax {command} " in shown


def test_an_unknown_command_or_argument_is_refused(capsys) -> None:
    for words in (["trian"], ["train", "--wrkdir=x"], ["segment", "--config.seed=1"]):
        with pytest.raises(SystemExit) as stop:
            main.main(words)
        assert stop.value.code == 2
        assert "Traceback" not in capsys.readouterr().err


def test_the_module_runs_as_the_command() -> None:
    words = [sys.executable, "-m", "ovs_jax", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "ovs-jax 0.1.0\n"
