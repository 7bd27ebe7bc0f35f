import atexit
import sys


class Guard:
    def __del__(self):
        print("guard is gone")


guard = Guard()
atexit.register(print, "first registered")
atexit.register(lambda: print("hooks", sys.excepthook is sys.__excepthook__))
atexit.register(print, "last registered")
print("main")
