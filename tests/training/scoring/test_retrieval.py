import numpy as np
import pytest

from pks4_lightning.training.scoring.retrieval import nearest_neighbours, retrieval_scores


def scores_of(queries, query_labels, gallery, labels, ks=(1, 5, 10)):
    neighbours = nearest_neighbours(queries, gallery, max(ks))
    return retrieval_scores(labels[neighbours.places], query_labels, ks=ks)


def test_scores_of_known_neighbours():
    # queries along the first axis; gallery videos at increasing angles, of classes 1, 0, 1, 0, 0
    angles = np.deg2rad([5, 10, 15, 20, 90])
    lengths = np.array([1.0, 9.0, 0.1, 3.0, 100.0])  # cosine similarity ignores lengths
    gallery = np.stack([np.cos(angles), np.sin(angles)], axis=1) * lengths[:, None]
    labels = np.array([1, 0, 1, 0, 0])
    queries = np.array([[2.0, 0.0], [7.0, 0.0]])
    neighbours = nearest_neighbours(queries, gallery[[3, 0, 4, 1, 2]], 3)
    assert neighbours.places.tolist() == [[1, 3, 4]] * 2
    assert neighbours.similarity[0] == pytest.approx(np.cos(angles[:3]))
    scores = scores_of(queries, np.array([0, 2]), gallery, labels, ks=(1, 2, 3, 5))
    assert scores == {
        "recall@1": 0.0,
        "knn@1": 0.0,  # the nearest has class 1
        "recall@2": 0.5,  # class 2 is not in the gallery
        "knn@2": 0.0,  # a tie: the nearest decides
        "recall@3": 0.5,
        "knn@3": 0.0,
        "recall@5": 0.5,
        "knn@5": 0.5,  # three of five votes
    }


def test_many_queries_are_scored_as_each_alone():
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(2500, 8)), rng.normal(size=(60, 8))
    query_labels, labels = rng.integers(5, size=2500), rng.integers(5, size=60)
    together = scores_of(queries, query_labels, gallery, labels)
    alone = [
        scores_of(queries[i : i + 1], query_labels[i : i + 1], gallery, labels) for i in range(2500)
    ]
    for name, value in together.items():
        assert value == pytest.approx(np.mean([scores[name] for scores in alone]))


@pytest.mark.parametrize(("num_queries", "k"), [(0, 1), (2, 4), (2, 0)])
def test_more_neighbours_than_there_are_videos_are_refused(num_queries, k):
    with pytest.raises(ValueError, match="nearest neighbours of"):
        nearest_neighbours(np.ones((num_queries, 2)), np.ones((3, 2)), k)
