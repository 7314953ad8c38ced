"""Evaluate features by nearest-neighbour retrieval with cosine similarity.

Dimensions:
    Q: queries
    G: gallery videos
    C: features
    K: neighbours
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

__all__ = ["Neighbours", "nearest_neighbours", "retrieval_scores"]

_QUERIES_AT_ONCE = 1024


class Neighbours(NamedTuple):
    """The nearest videos of every query, the nearest first."""

    places: Int[np.ndarray, "Q K"]
    """Indices in the gallery."""
    similarity: Float[np.ndarray, "Q K"]
    """Cosine similarities, -1 to 1."""


def nearest_neighbours(
    queries: Float[np.ndarray, "Q C"], gallery: Float[np.ndarray, "G C"], k: int
) -> Neighbours:
    """Find the nearest neighbours of queries in a gallery; the earlier of two equal ones is nearer.

    Args:
        queries: Features of the query videos, of any length.
        gallery: Features of the gallery videos.
        k: Number of neighbours.

    Raises:
        ValueError: If there are no queries, or more neighbours than gallery videos.
    """
    if not len(queries) or not 1 <= k <= len(gallery):
        raise ValueError(
            f"Cannot find {k} nearest neighbours of {len(queries)} videos among {len(gallery)}: "
            "give at least one query, and a number of neighbours from 1 to the size of the gallery."
        )
    gallery = _unit(gallery)
    places, similarity = [], []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        cosines = _unit(queries[start : start + _QUERIES_AT_ONCE]) @ gallery.T
        places.append(np.argsort(-cosines, axis=1, kind="stable")[:, :k])
        similarity.append(np.take_along_axis(cosines, places[-1], axis=1))
    return Neighbours(np.concatenate(places), np.concatenate(similarity))


def retrieval_scores(
    found_labels: Int[np.ndarray, "Q K"],
    query_labels: Int[np.ndarray, " Q"],
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """Score the nearest neighbours of queries.

    Args:
        found_labels: Classes of each query's neighbours, nearest first.
        query_labels: Classes of the queries, with the same numbering.
        ks: Numbers of neighbours to score, at most as many as were found.

    Returns:
        For every k, ``recall@k``: the share of queries with a video of their class among the k
        nearest; ``knn@k``: the share whose class has the most votes of the k nearest. Ties go to
        the class with the nearest video.
    """
    scores = {}
    for k in ks:
        labels = found_labels[:, :k]
        scores[f"recall@{k}"] = float((labels == query_labels[:, None]).any(axis=1).mean())
        votes = np.array([_most_voted(row) for row in labels])
        scores[f"knn@{k}"] = float((votes == query_labels).mean())
    return scores


def _most_voted(labels: Int[np.ndarray, " K"]) -> int:
    """Return the most frequent label; of equally frequent ones, the first."""
    values, first, counts = np.unique(labels, return_index=True, return_counts=True)
    return int(values[np.lexsort((first, -counts))[0]])


def _unit(features: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo(features.dtype).tiny)
