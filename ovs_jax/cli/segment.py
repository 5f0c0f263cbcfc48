"""Segments a photo, or every photo of a folder, with the words you give.

For each photo it writes NAME_overlay.png (classes in colour, with names), NAME_labels.png (a
palette image whose values are class numbers) and NAME.json (classes, colours, shares and scores).

Examples:
  ovs-jax segment photo.jpg --classes "dog, sofa, person" --checkpoint runs/quickstart
  ovs-jax segment photos/ --classes "dog, sofa" --background 0.9 --checkpoint runs/first --out found
  ovs-jax segment photo.jpg --classes "dog, sofa" --checkpoint runs/zegformer --look pool
"""

import argparse
from collections import Counter
from pathlib import Path

from tqdm import tqdm

import ovs_jax
from ovs_jax.cli.mask_options import add_mask_options, change_defaults
from ovs_jax.data.sources import IMAGE_SUFFIXES
from ovs_jax.evaluation.files import check_output_folder
from ovs_jax.typing import ClassSet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of ``ovs-jax segment``."""
    parser.add_argument("image", type=Path, help="a photo, or a folder of photos")
    parser.add_argument(
        "--classes", required=True, help='what to look for, such as "dog, sofa, person"'
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        type=Path,
        help="the folder of a training run, converted weights, or a name of ovs-jax zoo",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("segmented"), help="where to write (default: %(default)s)"
    )
    parser.add_argument(
        "--background",
        type=float,
        help="call a pixel background if its best class scores below this (0 to 1); "
        "without it every pixel gets a class",
    )
    add_mask_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Segments the photos.

    Everything that was given is checked before the model is loaded. The three files of a photo are
    written together or not at all. In a folder, photos that cannot be used are told at the end and
    the others are segmented.

    Args:
      arguments: parsed by a parser that `add_arguments` prepared.

    Returns:
      The exit status: 0, or 1 if photos of a folder could not be used.

    Raises:
      ValueError: the class list, the threshold, the photo or the checkpoint cannot be used.
      FileNotFoundError: there is no such file or folder.
    """
    background = arguments.background
    classes = parse_classes(arguments.classes, background=background is not None)
    if background is not None and not 0 <= background <= 1:
        raise ValueError(f"--background: expected a threshold of 0 to 1, got {background}")
    photos = find_photos(arguments.image, arguments.out)
    check_output_folder(arguments.out, field="--out")
    segmenter = ovs_jax.load(arguments.checkpoint, clip=arguments.clip)
    change_defaults(segmenter, arguments)
    faults: list[str] = []
    with tqdm(photos.items(), unit="photo", disable=len(photos) < 2) as bar:
        for name, path in bar:
            try:
                result = segmenter.segment(path, classes, background=background, keep_scores=False)
            except (ValueError, OSError) as error:
                if arguments.image.is_file():
                    raise
                faults.append(" ".join(str(error).split()))
                continue
            overlay, _, _ = result.save(arguments.out, name=name)
            shares = sorted(result.summary()["classes"], key=lambda c: -c["share"])
            found = ", ".join(
                f"{c['name']} {100 * c['share']:.0f} %" for c in shares if c["pixels"]
            )
            tqdm.write(f"{overlay}: {found}")
    for fault in faults:
        print(f"not used: {fault}")
    return 1 if faults else 0


def parse_classes(text: str, *, background: bool = False) -> tuple[str, ...]:
    """Class names between commas.

    Args:
      text: the names.
      background: whether a background is added to them.

    Raises:
      ValueError: there is none, or one is there twice, counting the background.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ValueError(f'--classes: expected names such as "dog, sofa", got "{text}"')
    try:
        before = ("background",) if background else ()
        return ClassSet("--classes", (*before, *names), has_background=background).foreground
    except ValueError as error:
        raise ValueError(f"--classes: {error}") from error


def find_photos(image: Path, out: Path) -> dict[str, Path]:
    """The photos to segment, by the name that their results get.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ValueError: the folder has no photo, or the results would be written among the photos.
    """
    if image.is_file():
        return {image.stem: image}
    if not image.is_dir():
        raise FileNotFoundError(f"image: expected a photo or a folder, {image} does not exist")
    if out.resolve() == image.resolve():
        raise ValueError(f"--out: expected another folder than that of the photos, got {out}")
    paths = sorted(path for path in image.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise ValueError(
            f"image: expected photos ({', '.join(IMAGE_SUFFIXES)}) in {image}, got none"
        )
    stems = Counter(path.stem for path in paths)
    return {path.stem if stems[path.stem] == 1 else path.name: path for path in paths}
