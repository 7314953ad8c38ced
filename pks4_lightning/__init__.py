"""PKS⁴: parallel kinematic selective state space scanners for video recognition."""

__version__ = "0.1.0"
