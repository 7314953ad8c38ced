import numpy as np
import pytest

from pks4_lightning.training.scoring.retrieval import retrieval_scores


def test_scores_of_known_neighbours():
    # one query along the first axis; gallery videos at growing angles: classes 1, 0, 1, 0, 0
    angles = np.deg2rad([5, 10, 15, 20, 90])
    lengths = np.array([1.0, 9.0, 0.1, 3.0, 100.0])  # cosine does not look at lengths
    gallery = np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None]
    labels = np.array([1, 0, 1, 0, 0])
    scores = retrieval_scores(
        np.array([[2.0, 0.0], [7.0, 0.0]]), np.array([0, 2]), gallery, labels, ks=(1, 2, 3, 5)
    )
    assert scores == {
        "recall@1": 0.0,
        "knn@1": 0.0,  # the nearest is of class 1
        "recall@2": 0.5,  # class 2 is nowhere
        "knn@2": 0.0,  # one vote each: the nearest decides
        "recall@3": 0.5,
        "knn@3": 0.0,
        "recall@5": 0.5,
        "knn@5": 0.5,  # three of five
    }


def test_many_queries_are_scored_as_each_alone():
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(2500, 8)), rng.normal(size=(60, 8))
    query_labels, labels = rng.integers(5, size=2500), rng.integers(5, size=60)
    together = retrieval_scores(queries, query_labels, gallery, labels)
    alone = [
        retrieval_scores(queries[i : i + 1], query_labels[i : i + 1], gallery, labels)
        for i in range(2500)
    ]
    for name, value in together.items():
        assert value == pytest.approx(np.mean([scores[name] for scores in alone]))


@pytest.mark.parametrize(("num_queries", "ks"), [(0, (1,)), (2, (1, 4)), (2, (0, 1))])
def test_more_neighbours_than_there_are_videos_are_refused(num_queries, ks):
    with pytest.raises(ValueError, match="nearest neighbours of"):
        retrieval_scores(
            np.ones((num_queries, 2)),
            np.zeros(num_queries, int),
            np.ones((3, 2)),
            np.zeros(3, int),
            ks=ks,
        )
