# arguments: --lr 3 -m x --report y
import sys

import __main__

print(__name__, __file__, __spec__, __package__, __doc__, sys.argv, sys.path[0], sys.flags)
print(sorted(globals()), type(__builtins__), type(__loader__), __loader__.path)
print(__main__.__dict__ is globals(), sys.modules["__main__"] is __main__, sys.excepthook is sys.__excepthook__)
print(sys.stdin.read())
