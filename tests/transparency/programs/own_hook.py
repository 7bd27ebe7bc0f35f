import sys


def hook(kind, error, trace):
    depth = 0
    while trace is not None:
        depth, trace = depth + 1, trace.tb_next
    print("hook", kind.__name__, error, depth, error.__traceback__.tb_frame.f_code.co_name)


sys.excepthook = hook
raise ValueError("x")
