import os
import signal
import sys


def stop(number, frame):
    print("stopping", number, frame.f_code.co_name)
    sys.exit(7)


signal.signal(signal.SIGTERM, stop)
os.kill(os.getpid(), signal.SIGTERM)
for _ in range(10**8):
    pass
