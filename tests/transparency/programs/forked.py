import os
import sys

sys.stdout.flush()
child = os.fork()
if not child:
    raise ValueError("in the child")
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
