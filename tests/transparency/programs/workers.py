# stdout: sorted
import multiprocessing
import sys


class Box:
    def __init__(self, x):
        self.x = x


def work(x):
    print("in a worker", __name__, len(sys.argv), flush=True)
    return Box(x * x)


def fail():
    raise ValueError("in a worker")


if __name__ == "__main__":
    for method in ("spawn", "fork"):
        context = multiprocessing.get_context(method)
        with context.Pool(1) as pool:
            print([b.x for b in pool.map(work, range(3), chunksize=3)])
        child = context.Process(target=fail, name=f"child of {method}")
        child.start()
        child.join()
        print(child.exitcode)
