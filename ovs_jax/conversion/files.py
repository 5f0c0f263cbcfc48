"""Foreign weight files, read one array at a time and without running any code of theirs."""

import hashlib
import json
import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

TORCH_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".tar")
PICKLE_SUFFIXES = (".pkl",)
"""Dicts of numpy arrays, as detectron2 has them."""
SETTINGS = "config.json"
_FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
_CONTAINERS = ("model", "state_dict", "teacher")
"""Where a training checkpoint keeps its weights, if not at the top."""
_SAVE = "safetensors.torch.save_file({k: v.clone().contiguous() for k, v in state.items()}, 'OUT')"


class State(Mapping[str, np.ndarray]):
    """Foreign names and arrays; an array is read when it is asked for, every time."""

    def __init__(
        self,
        readers: Mapping[str, Callable[[], np.ndarray]],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        self._readers = readers
        self.shapes = shapes

    def __getitem__(self, name: str) -> np.ndarray:
        return self._readers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


@dataclass(frozen=True)
class File:
    """A file that was read.

    Attributes:
      name: without its folder.
      size: in bytes.
      sha256: of its content.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Stored:
    """A checkpoint of someone else's.

    Attributes:
      state: its arrays.
      settings: the content of ``config.json`` in a Hugging Face folder; None elsewhere.
      files: what was read.
      beside: what stands beside the weights in a training checkpoint, and is not read.
    """

    state: State
    settings: dict[str, Any] | None
    files: tuple[File, ...]
    beside: tuple[str, ...]


def read(path: Path) -> Stored:
    """Opens a checkpoint.

    Args:
      path: a ``.safetensors`` file, a file of torch's, a pickle of numpy arrays, or a Hugging Face
        folder.

    Returns:
      Its names, shapes and arrays.

    Raises:
      FileNotFoundError: there is no such file, or the folder lacks one.
      ValueError: it is of another kind, damaged, or cannot be read without running code.
      ImportError: it takes torch to read it, and that is not installed.
    """
    settings = None
    if path.is_dir():
        weights = _folder_files(path)
        settings = _read_json(path / SETTINGS) if (path / SETTINGS).is_file() else None
    elif path.is_file():
        weights = (path,)
    else:
        raise FileNotFoundError(f"{path}: expected a weight file or folder, there is none")
    readers: dict[str, Callable[[], np.ndarray]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    beside: tuple[str, ...] = ()
    for file in weights:
        if file.suffix == ".safetensors":
            part = _open_safetensors(file)
        elif file.suffix in TORCH_SUFFIXES:
            part, beside = _open_torch(file)
        elif file.suffix in PICKLE_SUFFIXES:
            part, beside = _open_pickle(file)
        else:
            raise ValueError(
                f"{file}: expected a name ending in .safetensors or one of "
                f"{TORCH_SUFFIXES + PICKLE_SUFFIXES}"
            )
        readers |= part._readers
        shapes |= part.shapes
    files = weights if settings is None else (*weights, path / SETTINGS)
    return Stored(State(readers, shapes), settings, tuple(map(describe, files)), beside)


def describe(file: Path) -> File:
    """A file's name, size and checksum."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return File(file.name, file.stat().st_size, digest.hexdigest())


def write_safetensors(path: Path, state: Mapping[str, np.ndarray]) -> None:
    """Writes arrays under their foreign names, as torch's libraries read them."""
    arrays = {name: np.asarray(array, order="C") for name, array in state.items()}
    path.touch()
    rights = path.stat().st_mode  # the library makes files that only their owner can read
    safetensors.numpy.save_file(arrays, path, metadata={"format": "pt"})
    path.chmod(rights)


def _folder_files(folder: Path) -> tuple[Path, ...]:
    for name in _FOLDER_FILES:
        if (folder / name).is_file():
            return (folder / name,)
        index = folder / f"{name}.index.json"
        if index.is_file():
            names = sorted(set(_read_json(index)["weight_map"].values()))
            return tuple(folder / name for name in names)
    raise FileNotFoundError(f"{folder}: expected one of {_FOLDER_FILES} in it, or their index")


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: there is no such file")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file}: expected JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected an object, got {type(content).__name__}")
    return content


def _open_safetensors(file: Path) -> State:
    try:
        handle = safetensors.safe_open(file, framework="numpy")
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{file}: not a safetensors file ({error})") from error

    def reader(name: str) -> Callable[[], np.ndarray]:
        return lambda: handle.get_tensor(name)

    names = list(handle.keys())
    return State(
        {name: reader(name) for name in names},
        {name: tuple(handle.get_slice(name).get_shape()) for name in names},
    )


def _open_torch(file: Path) -> tuple[State, tuple[str, ...]]:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{file}: reading it takes torch: pip install 'ovs-jax[convert]'; a .safetensors file "
            "needs nothing else"
        ) from error
    zipped = zipfile.is_zipfile(file)
    if zipped and any(n.endswith("/constants.pkl") for n in zipfile.ZipFile(file).namelist()):
        raise ValueError(
            f"{file}: a TorchScript archive, which holds code and is refused. If you trust it, "
            "export its weights: import torch, safetensors.torch; "
            f"state = torch.jit.load('{file}', 'cpu').state_dict(); "
            + _SAVE.replace("OUT", f"{file.stem}.safetensors")
        )
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        found = re.findall(r"GLOBAL ([\w.]+)", str(error))
        asked = ", ".join(sorted(set(found)))
        what = f"it asks for {asked}" if found else str(error).split("\n")[0]
        raise ValueError(
            f"{file}: holds more than arrays ({what}); reading that could run any code, and is "
            "refused. If you trust it, export its weights, best on a machine that has nothing to "
            "lose: import torch, safetensors.torch; "
            f"state = torch.load('{file}', 'cpu', weights_only=False)['model']; "
            + _SAVE.replace("OUT", f"{file.stem}.safetensors")
        ) from error
    except (RuntimeError, EOFError) as error:
        raise ValueError(f"{file}: not a file of torch's ({error})") from error

    tensors, beside = _find_tensors(content, file, torch.Tensor)

    def reader(tensor: Any) -> Callable[[], np.ndarray]:
        if tensor.dtype == torch.bfloat16:
            return lambda: tensor.detach().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return lambda: tensor.detach().numpy()

    return (
        State(
            {name: reader(tensor) for name, tensor in tensors.items()},
            {name: tuple(tensor.shape) for name, tensor in tensors.items()},
        ),
        beside,
    )


_ARRAY_PARTS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
}
"""All that a pickle of arrays asks for; none of it runs code of the file's."""


class _Arrays(pickle.Unpickler):
    """Reads dicts of arrays and refuses anything else before it is made."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAY_PARTS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def _open_pickle(file: Path) -> tuple[State, tuple[str, ...]]:
    try:
        with file.open("rb") as content:
            found = _Arrays(content, encoding="latin1").load()  # old files are of Python 2
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{file}: holds more than arrays ({error}); reading that could run any code, and is "
            "refused"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{file}: not a pickle of arrays ({error})") from error
    arrays, beside = _find_tensors(found, file, np.ndarray)

    def reader(array: np.ndarray) -> Callable[[], np.ndarray]:
        return lambda: array

    return (
        State(
            {name: reader(array) for name, array in arrays.items()},
            {name: array.shape for name, array in arrays.items()},
        ),
        beside,
    )


def _find_tensors(content: Any, file: Path, kind: type) -> tuple[dict[str, Any], tuple[str, ...]]:
    beside: tuple[str, ...] = ()
    while isinstance(content, Mapping):
        inner = next((n for n in _CONTAINERS if isinstance(content.get(n), Mapping)), None)
        if inner is None:
            break
        beside += tuple(str(name) for name in content if name != inner)
        content = content[inner]
    if not isinstance(content, Mapping):
        raise ValueError(f"{file}: expected arrays by name, got {type(content).__name__}")
    strange = [str(name) for name, value in content.items() if not isinstance(value, kind)]
    if strange or not content:
        raise ValueError(
            f"{file}: expected arrays by name, at the top or under one of {_CONTAINERS}; got "
            f"{', '.join(strange[:8]) or 'nothing'}"
        )
    return dict(content), beside
