import numpy as np

from ovs_jax.data.synthetic.draws import Draws


def test_the_stream_is_a_function_of_the_integers_it_is_made_from():
    def values(*entropy):
        draws = Draws(*entropy)
        return [draws.uniform() for _ in range(300)]

    assert values(3, 1) == values(3, 1)
    assert len({tuple(values(*e)) for e in [(3, 1), (1, 3), (3,), (3, 2)]}) == 4


def test_choices_are_uniform():
    draws = Draws(0)
    numbers = [draws.integer(6) for _ in range(6000)]
    assert np.abs(np.bincount(numbers, minlength=6) - 1000).max() < 120
    assert abs(np.mean([draws.chance(0.3) for _ in range(4000)]) - 0.3) < 0.03
    around = [draws.around(2.0) for _ in range(4000)]
    assert -2 <= min(around) < -1.9 < 1.9 < max(around) < 2
    orders = [tuple(draws.shuffled("abc")) for _ in range(3000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    assert max(counts) - min(counts) < 150
