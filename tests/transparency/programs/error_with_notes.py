import sys

error = ValueError("x")
if sys.version_info >= (3, 11):
    error.add_note("a note")
    error = ExceptionGroup("several", [error, TypeError("y")])
raise error
