"""From a live failure to plain data, once, after the program's own traceback was shown."""
from .gather import gather

__all__ = ["gather"]
