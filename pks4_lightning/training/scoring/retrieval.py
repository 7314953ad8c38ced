"""How well features find videos of the same class: nearest neighbours by cosine.

Dimensions:
    Q: queries
    G: gallery videos
    C: features
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

__all__ = ["retrieval_scores"]

_QUERIES_AT_ONCE = 1024


def retrieval_scores(
    queries: Float[np.ndarray, "Q C"],
    query_labels: Int[np.ndarray, " Q"],
    gallery: Float[np.ndarray, "G C"],
    gallery_labels: Int[np.ndarray, " G"],
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """Score the nearest neighbours of queries in a gallery.

    Args:
        queries: Features of the query videos, of any length.
        query_labels: Their classes.
        gallery: Features of the videos to be found.
        gallery_labels: Their classes, numbered alike.
        ks: Numbers of neighbours.

    Returns:
        For every k, ``recall@k``: the share of queries with a video of their class among the k
        nearest; ``knn@k``: the share whose class has most votes of the k nearest, of equals the
        class with the nearest video.

    Raises:
        ValueError: If there are no queries, or fewer videos in the gallery than neighbours.
    """
    if not len(queries) or min(ks) < 1 or max(ks) > len(gallery):
        raise ValueError(
            f"{max(ks)} nearest neighbours of {len(queries)} videos among {len(gallery)}: give at "
            "least one query, and from one neighbour up to as many as the gallery holds."
        )
    gallery = _unit(gallery)
    found = []
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        similarity = _unit(queries[start : start + _QUERIES_AT_ONCE]) @ gallery.T
        found.append(np.argsort(-similarity, axis=1, kind="stable")[:, : max(ks)])
    labels = gallery_labels[np.concatenate(found)]
    scores = {}
    for k in ks:
        scores[f"recall@{k}"] = float((labels[:, :k] == query_labels[:, None]).any(axis=1).mean())
        votes = np.array([_most_voted(row) for row in labels[:, :k]])
        scores[f"knn@{k}"] = float((votes == query_labels).mean())
    return scores


def _most_voted(labels: Int[np.ndarray, " K"]) -> int:
    """Return the most frequent label; of equals the one that comes first."""
    values, first, counts = np.unique(labels, return_index=True, return_counts=True)
    return int(values[np.lexsort((first, -counts))[0]])


def _unit(features: Float[np.ndarray, "N C"]) -> Float[np.ndarray, "N C"]:
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(length, np.finfo(features.dtype).tiny)
