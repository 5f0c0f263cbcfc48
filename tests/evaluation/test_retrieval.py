import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovs_jax.evaluation import retrieval
from ovs_jax.evaluation.retrieval import RetrievalProtocol, RetrievalReport, ranks, retrieve
from ovs_jax.evaluation.whole_images import CenterCrop

RULES = RetrievalProtocol("photos", CenterCrop(32, 32))
TEXTS = ("a dog", "a boat", "a tree by a house", "grass", "the water", "sand and a dog")


def pairs(owners):
    """A record for each caption; those of one image hold the same pixels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (max(owners) + 1, 40, 50, 3), np.uint8)
    return [
        {"image": images[image], "caption": TEXTS[i], "key": f"photo-{image}#{i}"}
        for i, image in enumerate(owners)
    ]


def test_recalls_are_those_of_ranking_everything(segmenter):
    owners = [1, 0, 1, 2, 0, 2]
    source = pairs(owners)
    report = retrieve(segmenter, source, RULES, progress=False, batch_size=4)
    order = [1, 0, 2]  # as they first appear
    crops = [RULES.crop(source[owners.index(image)]["image"]) for image in order]
    images = segmenter.embed_images(np.stack([*crops, crops[0]]))[:3]
    texts = segmenter.embed_texts(TEXTS)
    scores = images @ texts.T
    own = np.asarray([order.index(owner) for owner in owners])
    for image in range(3):
        by_score = np.argsort(-scores[image], kind="stable")
        assert report.image_ranks[image] == np.flatnonzero(own[by_score] == image)[0]
    for caption in range(6):
        by_score = np.argsort(-scores[:, caption], kind="stable")
        assert report.caption_ranks[caption] == np.flatnonzero(by_score == own[caption])[0]


def test_a_limit_takes_the_first_records(segmenter):
    report = retrieve(segmenter, pairs([0, 0, 1, 2]), RULES, limit=3, progress=False, batch_size=4)
    assert (len(report.image_ranks), len(report.caption_ranks)) == (2, 3)


@given(st.data())
def test_ranks_equal_a_stable_sort_also_of_equal_scores(data):
    owners = np.asarray(data.draw(st.lists(st.integers(0, 3), min_size=6, max_size=6)), np.int32)
    values = st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=2, max_size=2)
    draw = st.lists(values, min_size=6, max_size=6)
    candidates = np.asarray(data.draw(draw), np.float32)
    queries = np.asarray(data.draw(draw), np.float32)
    found = ranks(queries, owners, candidates=candidates, candidate_owner=owners)
    for query in range(6):
        by_score = np.argsort(-(candidates @ queries[query]), kind="stable")
        first = np.flatnonzero(owners[by_score] == owners[query])[0]
        assert found[query] == first


def test_more_queries_than_fit_into_one_comparison_are_ranked(monkeypatch):
    rng = np.random.default_rng(0)
    unit, owner = rng.normal(size=(10, 4)).astype(np.float32), np.arange(10, dtype=np.int32)
    expected = ranks(unit, owner, candidates=unit[::-1], candidate_owner=owner)
    monkeypatch.setattr(retrieval, "QUERIES", 4)
    found = ranks(unit, owner, candidates=unit[::-1], candidate_owner=owner)
    np.testing.assert_array_equal(found, expected)


@pytest.fixture
def report():
    return RetrievalReport(RULES, 32, np.asarray([0, 4, 5, 12]), np.asarray([0, 0, 9]), 2.0)


def test_recalls_by_hand(report):
    to_text, to_image = report.rows()
    assert to_text == {
        "direction": "image to text",
        "R@1": 25.0,
        "R@5": 50.0,
        "R@10": 75.0,
        "median_rank": 5.5,
        "queries": 4,
    }
    assert (to_image["R@1"], to_image["R@5"], to_image["R@10"]) == (66.6667, 66.6667, 100.0)
    assert to_image["median_rank"] == 1.0


def test_a_report_has_its_protocol_in_every_form(report):
    shown = report.to_markdown()
    assert "**image to text R@1 25.00 · text to image R@1 66.67** · 4 images · 3 captions" in shown
    assert "| image to text | 25.00 | 50.00 | 75.00 | 5.50 | 4 |" in shown
    for name in report.choices():
        assert f"| {name} |" in shown
    assert json.loads(report.to_json())["directions"] == report.rows()
    assert len(list(csv.DictReader(io.StringIO(report.to_csv())))) == 2


@pytest.mark.parametrize("value", ["", "  ", None, b"dog"])
def test_a_caption_without_words_is_an_error_with_its_name(segmenter, value):
    source = pairs([0, 1])
    source[1]["caption"] = value
    with pytest.raises(ValueError, match="image 'photo-1#1': caption: expected text"):
        retrieve(segmenter, source, RULES, progress=False)


def test_nothing_to_find_is_an_error(segmenter):
    with pytest.raises(ValueError, match="at least one image"):
        retrieve(segmenter, [], RULES)


def test_real_photographs_with_several_captions_are_ranked(segmenter, shared_data):
    from ovs_jax.data.sources import open_image_text

    source = open_image_text(shared_data / "photos_captions")
    report = retrieve(segmenter, source, RULES, progress=False, batch_size=8)
    assert len(report.caption_ranks) == len(source)
    assert len(report.image_ranks) == len(set(source.files)) < len(source)
