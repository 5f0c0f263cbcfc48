"""Reading what is judged: in threads, a few items ahead of their use, every error with a name."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from jaxtyping import UInt8

from ovs_jax.data.images import checked_pixels, decode_image
from ovs_jax.data.records import Record, Source

T = TypeVar("T")


def load_ahead(load: Callable[[int], T], indices: Iterable[int]) -> Iterator[T]:
    """Calls a function for every index, in threads.

    Args:
      load: safe to call in threads.
      indices: in order.

    Yields:
      What the function returns, in order.

    Raises:
      Exception: whatever the function raises, when its turn comes.
    """
    workers = min(os.cpu_count() or 1, 16)
    ahead: deque[Future[T]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="evaluation") as pool:
        try:
            for index in indices:
                ahead.append(pool.submit(load, index))
                if len(ahead) > 2 * workers:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def image_count(source: Source, limit: int | None) -> int:
    """How many images to judge.

    Raises:
      ValueError: none.
    """
    count = len(source) if limit is None else min(limit, len(source))
    if count < 1:
        raise ValueError(f"evaluation: expected at least one image, got {count}")
    return count


@contextmanager
def naming_record(index: int) -> Iterator[Callable[[Record], str]]:
    """Puts the record's name before whatever is wrong with it.

    Yields:
      A function that takes the record, once it is read, and gives its key.

    Raises:
      ValueError: for every error that a bad record can cause.
    """
    key = f"number {index}"

    def named(record: Record) -> str:
        nonlocal key
        key = str(record["key"])
        return key

    try:
        yield named
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"evaluation, image '{key}': {error}") from error


def decoded_image(record: Record, key: str) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a record, whether encoded or not.

    Raises:
      BadRecordError: it has no image that can be used.
    """
    image = record["image"]
    if isinstance(image, bytes):
        image = decode_image(image, name=key)
    return checked_pixels(image, name=key)
