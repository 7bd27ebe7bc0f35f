import threading
import time


def late():
    time.sleep(0.2)
    print("late", threading.current_thread().name)


def wrong():
    raise ValueError("in a thread")


wrong_one = threading.Thread(target=wrong, name="wrong")
wrong_one.start()
wrong_one.join()
threading.Thread(target=late, name="late").start()
raise RuntimeError("main ends first")
