import atexit

atexit.register(print, "at exit")
raise LookupError("x")
