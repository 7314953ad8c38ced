"""The version of the package, whatever the metadata of an earlier installation say."""

__all__ = ["__version__"]

__version__ = "0.3.0"
