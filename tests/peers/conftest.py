from tests.models.conftest import draw, randomise

__all__ = ["draw", "randomise"]
