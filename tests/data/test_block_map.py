from collections.abc import Iterator

from ovs_jax.data.block_map import map_blocks


def test_blocks_keep_their_order_and_few_are_read_ahead() -> None:
    read: list[int] = []

    def blocks() -> Iterator[list[int]]:
        for number in range(12):
            read.append(number)
            yield [number] * (number + 1)

    for workers in (0, 2):
        read.clear()
        seen = []
        for block, size in map_blocks(len, blocks(), workers=workers):
            seen.append(size)
            assert len(block) == size
            assert len(read) <= len(seen) + 6
        assert seen == list(range(1, 13))


def test_the_function_may_take_a_part_of_the_block() -> None:
    blocks = [("a", 1), ("bb", 2)]
    done = list(map_blocks(len, blocks, workers=0, argument=lambda block: block[0]))
    assert done == [(("a", 1), 1), (("bb", 2), 2)]
    assert list(map_blocks(len, [], workers=4)) == []
