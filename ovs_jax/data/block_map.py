"""A function on a stream of blocks, in several processes, in order, with few blocks under way."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from typing import Any, TypeVar

Block = TypeVar("Block")
Result = TypeVar("Result")


def map_blocks(
    function: Callable[[Any], Result],
    blocks: Iterable[Block],
    *,
    workers: int,
    argument: Callable[[Block], Any] = lambda block: block,
) -> Iterator[tuple[Block, Result]]:
    """Applies a function to blocks.

    Args:
      function: picklable, as its arguments and results are.
      blocks: read as they are needed, at most three a worker ahead.
      workers: processes; with 0 or 1, or a single block, everything is done in this one.
      argument: what the function takes of a block; the block itself if not given.

    Yields:
      Every block with its result, in order.
    """
    source = iter(blocks)
    first = list(islice(source, 2))
    if workers < 2 or len(first) < 2:
        for block in chain(first, source):
            yield block, function(argument(block))
        return
    # Threads of other libraries may be running, so no process is forked.
    context = multiprocessing.get_context("spawn")
    under_way: deque[tuple[Block, Future[Result]]] = deque()
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        for block in chain(first, source):
            under_way.append((block, pool.submit(function, argument(block))))
            if len(under_way) >= 3 * workers:
                done, result = under_way.popleft()
                yield done, result.result()
        while under_way:
            done, result = under_way.popleft()
            yield done, result.result()
