"""The programs of `odd_programs.py`: each does something odd, and ends well or (`FAIL`) with an error of torch's."""

from __future__ import annotations

from dataclasses import dataclass, field

RUN = '"$PY" $WHY prog.py'
FAIL = "\nimport torch\nrows, columns = torch.ones(2, 3), torch.ones(4, 5)\nprint(rows @ columns)\n"
WELL = "\nimport torch\nprint(torch.ones(2, 3) @ torch.ones(3, 5))\n"


@dataclass(frozen=True)
class Odd:
    """A program, the shell line that starts it (`$PY` the interpreter, `$WHY` nothing or torchwhy), and files beside it."""

    name: str
    text: str
    shell: str = RUN
    files: dict[str, str] = field(default_factory=dict)
    racing: bool = False
    """Its lines come in any order."""


HOOKS = [
    Odd(
        "excepthook replaced",
        "import sys\ndef hook(kind, error, trace):\n    print('mine', kind.__name__, trace.tb_lineno, file=sys.stderr)\nsys.excepthook = hook\n"
        + FAIL,
    ),
    Odd("excepthook that raises", "import sys\ndef hook(*told):\n    raise KeyError('hook')\nsys.excepthook = hook\n" + FAIL),
    Odd("excepthook that exits", "import sys, os\nsys.excepthook = lambda *told: os._exit(7)\n" + FAIL),
    Odd("excepthook deleted", "import sys\ndel sys.excepthook\n" + FAIL),
    Odd("excepthook read by the program", "import sys\nprint(sys.excepthook is sys.__excepthook__, sys.excepthook)\n" + WELL),
    Odd("stdout and stderr replaced", "import io, sys\nsys.stdout = io.StringIO()\nsys.stderr = io.StringIO()\nprint('lost')\n" + FAIL),
    Odd(
        "stderr without fileno",
        "import sys\nclass Out:\n    def write(self, text):\n        sys.__stdout__.write(text.upper())\n    def flush(self):\n        pass\nsys.stderr = Out()\n"
        + FAIL,
    ),
    Odd("stdout set to None", "import sys\nsys.stdout = None\nsys.stderr = None\n" + FAIL),
    Odd(
        "stdout closed by the program",
        "import sys\nprint('once', flush=True)\nsys.stdout.close()\n" + "import torch\ntorch.ones(2, 3) @ torch.ones(4, 5)\n",
    ),
    Odd(
        "threading.excepthook",
        "import threading, sys\nimport torch\nthreading.excepthook = lambda told: print('thread', told.exc_type.__name__)\nt = threading.Thread(target=lambda: torch.ones(2, 3) @ torch.ones(4, 5))\nt.start()\nt.join()\nprint('on')\n",
    ),
    Odd(
        "thread fails, python tells",
        "import threading\nimport torch\ndef work():\n    torch.ones(2, 3) @ torch.ones(4, 5)\nt = threading.Thread(target=work)\nt.start()\nt.join()\nprint('on')\n",
    ),
    Odd(
        "unraisablehook and __del__",
        "import sys, gc\nimport torch\nsys.unraisablehook = lambda told: print('unraisable', told.exc_value, told.object.__name__)\nclass A:\n    def __del__(self):\n        torch.ones(2, 3) @ torch.ones(4, 5)\na = A()\ndel a\ngc.collect()\nprint('on')\n",
    ),
    Odd(
        "__del__ fails, python tells",
        "import torch\nclass A:\n    def __del__(self):\n        torch.ones(2, 3) @ torch.ones(4, 5)\na = A()\ndel a\nprint('on')\n",
    ),
    Odd("displayhook", "import sys\nsys.displayhook = lambda value: print('shown', value)\nexec(compile('1 + 1', 'x', 'single'))\n" + FAIL),
    Odd(
        "print and open replaced",
        "import builtins, io\nold = builtins.print\nbuiltins.print = lambda *told, **more: old('P', *told, **more)\nopened = []\nreal = builtins.open\ndef opening(name, *more, **named):\n    opened.append(name)\n    return real(name, *more, **named)\nbuiltins.open = opening\n"
        + FAIL.replace("print", "print"),
    ),
    Odd(
        "__import__ replaced",
        "import builtins\nreal = builtins.__import__\nasked = []\ndef importing(name, *more, **named):\n    asked.append(name)\n    return real(name, *more, **named)\nbuiltins.__import__ = importing\n"
        + FAIL,
    ),
    Odd(
        "__import__ replaced, healthy",
        "import builtins\nreal = builtins.__import__\nasked = set()\ndef importing(name, *more, **named):\n    asked.add(name.split('.')[0])\n    return real(name, *more, **named)\nbuiltins.__import__ = importing\nimport torch\nprint('torch' in asked, 'torchwhy' in asked)\n",
    ),
    Odd(
        "open fails",
        "import builtins\nimport torch\ndef no(*told, **more):\n    raise OSError('no files today')\nbuiltins.open = no\n" + FAIL,
    ),
    Odd(
        "sys.exit replaced",
        "import sys\nreal = sys.exit\ndef leave(code=0):\n    print('leaving', code)\n    real(5)\nsys.exit = leave\n"
        + WELL
        + "sys.exit(0)\n",
    ),
    Odd(
        "os._exit replaced",
        "import os\nreal = os._exit\ndef leave(code):\n    print('leaving', code, flush=True)\n    real(9)\nos._exit = leave\n"
        + WELL
        + "os._exit(0)\n",
    ),
    Odd("os.fork replaced", "import os\ndef no():\n    raise OSError('no fork')\nos.fork = no\n" + FAIL),
    Odd(
        "os.fork counted",
        "import os\ncount = 0\nreal = os.fork\ndef forking():\n    global count\n    count += 1\n    return real()\nos.fork = forking\nimport torch\nprint(torch.ones(2).sum(), count)\npid = os.fork()\nif not pid:\n    os._exit(3)\nprint(os.waitpid(pid, 0)[1], count)\n",
    ),
    Odd(
        "register_at_fork",
        "import os\nimport torch\nos.register_at_fork(before=lambda: print('before', flush=True), after_in_parent=lambda: print('after', flush=True))\n"
        + FAIL,
    ),
    Odd(
        "signal handlers read",
        "import signal\nimport torch\nprint([signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1)])\nprint(signal.pthread_sigmask(signal.SIG_BLOCK, []))\n",
    ),
    Odd(
        "waits for any child",
        "import os\nimport torch\ntry:\n    print(os.waitpid(-1, 0))\nexcept ChildProcessError as error:\n    print(error)\n" + FAIL,
    ),
    Odd("SIGCHLD handler", "import os, signal\nsignal.signal(signal.SIGCHLD, lambda *told: print('child', flush=True))\n" + FAIL),
    Odd(
        "SIGALRM at the failure",
        "import signal, time\nsignal.signal(signal.SIGALRM, lambda *told: print('alarm', flush=True))\nsignal.setitimer(signal.ITIMER_REAL, 100)\n"
        + FAIL,
    ),
    Odd("sys.modules without main", "import sys\nsys.modules['__main__'] = type(sys)('other')\n" + FAIL),
    Odd("meta_path cleared", "import sys\nimport torch\nsys.meta_path.clear()\n" + FAIL),
    Odd("sys.path cleared", "import sys\nimport torch\nsys.path.clear()\n" + FAIL),
    Odd(
        "stdlib names in the folder",
        FAIL,
        files={
            "json.py": "print('own json')\nloads = dumps = None\n",
            "tempfile.py": "",
            "difflib.py": "raise RuntimeError('own difflib')\n",
        },
        shell='"$PY" -c "print(1)"; mkdir -p own; cp prog.py own/; "$PY" $WHY own/prog.py',
    ),
]

ENDS = [
    Odd("exit by text", "import sys\nimport torch\nsys.exit('a text')\n"),
    Odd("exit by None", "import sys\nimport torch\nsys.exit(None)\n"),
    Odd("exit by an object", "import sys\nimport torch\nclass A:\n    def __str__(self):\n        return 'odd object'\nsys.exit(A())\n"),
    Odd("exit by a tensor", "import sys\nimport torch\nsys.exit(torch.ones(2))\n"),
    Odd("exit by 256", "import sys\nimport torch\nsys.exit(256)\n"),
    Odd("exit by -1", "import sys\nimport torch\nsys.exit(-1)\n"),
    Odd("exit by a big number", "import sys\nimport torch\nsys.exit(2**70)\n"),
    Odd("exit by True", "import sys\nimport torch\nsys.exit(True)\n"),
    Odd("exit of an exit", "import sys\nimport torch\nraise SystemExit(SystemExit(3))\n"),
    Odd("exit's own class", "import torch\nclass Done(SystemExit):\n    code = 4\nraise Done\n"),
    Odd(
        "exit in except",
        "import sys\nimport torch\ntry:\n    torch.ones(2, 3) @ torch.ones(4, 5)\nexcept RuntimeError as error:\n    print(error)\n    sys.exit(1)\n",
    ),
    Odd(
        "os._exit in except",
        "import os\nimport torch\ntry:\n    torch.ones(2, 3) @ torch.ones(4, 5)\nexcept RuntimeError as error:\n    print(error, flush=True)\n    os._exit(6)\n",
    ),
    Odd(
        "exit in a thread",
        "import sys, threading\nimport torch\nt = threading.Thread(target=lambda: sys.exit(3))\nt.start()\nt.join()\nprint('on')\n",
    ),
    Odd(
        "os._exit in a thread",
        "import os, threading, time\nimport torch\nprint('so', flush=True)\nthreading.Thread(target=lambda: os._exit(3)).start()\ntime.sleep(20)\n",
    ),
    Odd("exit in atexit", "import atexit, sys\nimport torch\natexit.register(lambda: sys.exit(8))\nprint('x')\n"),
    Odd(
        "exception in atexit",
        "import atexit\nimport torch\ndef last():\n    torch.ones(2, 3) @ torch.ones(4, 5)\natexit.register(last)\nprint('x')\n",
    ),
    Odd(
        "order of atexit",
        "import atexit\natexit.register(print, 'first')\n" + FAIL.replace("rows,", "atexit.register(print, 'second')\nrows,"),
    ),
    Odd("atexit cleared", "import atexit\nimport torch\natexit.register(print, 'never')\natexit._clear()\n" + FAIL),
    Odd("abort", "import os\nimport torch\nprint('x', flush=True)\nos.abort()\n"),
    Odd("SIGKILL to itself", "import os, signal\nimport torch\nprint('x', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"),
    Odd("SIGTERM to itself", "import os, signal\nimport torch\nprint('x', flush=True)\nos.kill(os.getpid(), signal.SIGTERM)\n"),
    Odd(
        "SIGINT to itself",
        "import os, signal, time\nimport torch\nprint('x', flush=True)\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(1)\n",
    ),
    Odd("SIGSEGV to itself", "import os, signal\nimport torch\nprint('x', flush=True)\nos.kill(os.getpid(), signal.SIGSEGV)\n"),
    Odd(
        "non-daemon thread outlives",
        "import threading, time\nimport torch\ndef late():\n    time.sleep(0.5)\n    print('late', flush=True)\nthreading.Thread(target=late).start()\n"
        + FAIL,
    ),
    Odd(
        "daemon thread at the end",
        "import threading, time\nimport torch\nthreading.Thread(target=lambda: time.sleep(60), daemon=True).start()\n" + FAIL,
    ),
    Odd(
        "exception group and notes",
        "import torch\ntry:\n    torch.ones(2, 3) @ torch.ones(4, 5)\nexcept RuntimeError as error:\n    if hasattr(error, 'add_note'):\n        error.add_note('a note')\n    raise ValueError('outer') from error\n",
    ),
    Odd(
        "context that is a circle", "import torch\na, b = RuntimeError('a'), RuntimeError('b')\na.__cause__, b.__cause__ = b, a\nraise a\n"
    ),
    Odd(
        "str of the error raises",
        "import torch\nclass Odd(RuntimeError):\n    def __str__(self):\n        raise ValueError('no text')\n    __repr__ = __str__\nraise Odd('x')\n",
    ),
    Odd(
        "raise in generator's close",
        "import torch\ndef give():\n    try:\n        yield 1\n    finally:\n        print('closed')\ng = give()\nnext(g)\n" + FAIL,
    ),
    Odd("KeyboardInterrupt's subclass", "import torch\nclass Stop(KeyboardInterrupt):\n    pass\nraise Stop('now')\n"),
    Odd("BaseException", "import torch\nclass Stop(BaseException):\n    pass\nraise Stop('now')\n"),
]

FORKS = [
    Odd(
        "fork, both fail",
        "import os\nimport torch\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\nprint('parent' if pid else 'child', flush=True)\n"
        + FAIL,
    ),
    Odd(
        "double fork",
        "import os\nimport torch\nr, w = os.pipe()\nif not os.fork():\n    os.setsid()\n    if not os.fork():\n        os.write(w, b'daemon')\n        os._exit(0)\n    os._exit(0)\nos.wait()\nprint(os.read(r, 10))\n"
        + FAIL,
    ),
    Odd(
        "child outlives",
        "import os, time\nimport torch\nif not os.fork():\n    time.sleep(1)\n    open('late', 'w').write('x')\n    os._exit(0)\n" + FAIL,
        shell=RUN + "; code=$?; sleep 2; exit $code",
    ),
    Odd("exec of another program", "import os, sys\nimport torch\nprint('x', flush=True)\nos.execv('/bin/echo', ['echo', 'replaced'])\n"),
    Odd(
        "multiprocessing fork",
        "import multiprocessing as mp\nimport torch\ndef work(n):\n    return (torch.ones(n) * 2).sum().item()\nif __name__ == '__main__':\n    with mp.get_context('fork').Pool(2) as pool:\n        print(pool.map(work, [1, 2, 3]))\n",
    ),
    Odd(
        "multiprocessing spawn",
        "import multiprocessing as mp\nimport torch\ndef work(n):\n    return (torch.ones(n) * 2).sum().item()\nif __name__ == '__main__':\n    with mp.get_context('spawn').Pool(1) as pool:\n        print(pool.map(work, [1, 2, 3]))\n",
    ),
    Odd(
        "multiprocessing forkserver",
        "import multiprocessing as mp\nimport torch\ndef work(n):\n    return (torch.ones(n) * 2).sum().item()\nif __name__ == '__main__':\n    with mp.get_context('forkserver').Pool(1) as pool:\n        print(pool.map(work, [1, 2, 3]))\n",
    ),
    Odd(
        "a process fails",
        "import multiprocessing as mp\nimport torch\ndef work():\n    torch.ones(2, 3) @ torch.ones(4, 5)\nif __name__ == '__main__':\n    p = mp.get_context('fork').Process(target=work)\n    p.start()\n    p.join()\n    raise SystemExit(p.exitcode)\n",
    ),
    Odd(
        "queue of tensors",
        "import torch\nimport torch.multiprocessing as mp\ndef work(q):\n    q.put(torch.arange(3))\n    q.get()\nif __name__ == '__main__':\n    a, b = mp.get_context('fork').SimpleQueue(), mp.get_context('fork').SimpleQueue()\n    class Both:\n        put, get = a.put, b.get\n    p = mp.get_context('fork').Process(target=work, args=(Both,))\n    p.start()\n    print(a.get())\n    b.put(0)\n    p.join()\n"
        + FAIL.replace("\n", "\n    ").rstrip()
        + "\n",
    ),
    Odd(
        "subprocess of python",
        "import subprocess, sys\nimport torch\nprint(subprocess.run([sys.executable, '-c', 'import torch; print(torch.ones(2))'], capture_output=True, text=True).stdout)\n"
        + FAIL,
    ),
    Odd(
        "sys.executable and argv",
        "import sys\nimport torch\nprint(sys.executable, sys.argv, sys.orig_argv[-2:], sys.flags)\n",
        shell='"$PY" $WHY prog.py -x --report y --',
    ),
    Odd(
        "loader workers",
        "import torch\nfrom torch.utils.data import DataLoader, Dataset\nclass Data(Dataset):\n    def __len__(self):\n        return 8\n    def __getitem__(self, i):\n        return torch.ones(3 if i < 6 else 4)\nif __name__ == '__main__':\n    for batch in DataLoader(Data(), batch_size=4, num_workers=1):\n        print(batch.shape)\n",
    ),
]

FRAMES = [
    Odd(
        "ten thousand frames",
        "import sys\nimport torch\nsys.setrecursionlimit(20000)\ndef deep(n):\n    if not n:\n        return torch.ones(2, 3) @ torch.ones(4, 5)\n    return deep(n - 1)\nimport threading\nthreading.stack_size(512 * 1024 * 1024)\ndeep(10000)\n",
    ),
    Odd(
        "recursion to the limit",
        "import torch\ndepth = 0\ndef deep():\n    global depth\n    depth += 1\n    deep()\ntry:\n    deep()\nexcept RecursionError as error:\n    print(depth, error, error.__context__)\n",
    ),
    Odd("recursion that comes out", "import torch\ndef deep(n):\n    return deep(n + 1)\ndeep(0)\n"),
    Odd(
        "recursion in torch",
        "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return self(x + 1)\nn = 0\ntry:\n    Net()(torch.ones(2))\nexcept RecursionError as error:\n    print(type(error.__context__), type(error.__cause__))\n",
    ),
    Odd(
        "setrecursionlimit",
        "import sys\nimport torch\nprint(sys.getrecursionlimit())\nsys.setrecursionlimit(200)\nprint(torch.ones(2).sum())\n" + FAIL,
    ),
    Odd(
        "inspect.stack",
        "import inspect\nimport torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        print([(f.function, f.filename.split('/')[-1]) for f in inspect.stack()])\n        return x\nNet()(torch.ones(2))\n",
    ),
    Odd(
        "inspect.stack with options",
        "import inspect, traceback\nimport torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        print(inspect.stack(context=0)[0].code_context, len(inspect.stack(3)), inspect.currentframe().f_back.f_code.co_name)\n        print(traceback.extract_stack(limit=1)[-1].name, traceback.extract_stack(limit=-1)[0].name)\n        return x\nNet()(torch.ones(2))\n",
    ),
    Odd(
        "_getframe walk",
        "import sys\nimport torch\ndef walk():\n    names, frame = [], sys._getframe()\n    while frame:\n        names.append(frame.f_code.co_name)\n        frame = frame.f_back\n    return names\nprint(walk())\nhook = torch.nn.Linear(2, 2).register_forward_hook(lambda *told: print(walk()))\nm = torch.nn.Linear(2, 2)\nm.register_forward_hook(lambda *told: print(walk()))\nm(torch.ones(2))\n",
    ),
    Odd(
        "_getframe in a subclass",
        "import sys\nimport torch\ncalls = []\nclass Sub(torch.Tensor):\n    @classmethod\n    def __torch_function__(cls, func, types, args=(), kwargs=None):\n        calls.append((func.__name__, sys._getframe(1).f_code.co_name))\n        return super().__torch_function__(func, types, args, kwargs or {})\nx = torch.ones(2).as_subclass(Sub)\ny = x + 1\nz = y.sum()\nprint(calls)\n",
    ),
    Odd(
        "print_stack",
        "import traceback\nimport torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        traceback.print_stack()\n        traceback.print_stack(limit=2)\n        return x\nNet()(torch.ones(2))\n",
    ),
    Odd(
        "warnings with stacklevel",
        "import warnings\nimport torch\ndef warn():\n    for level in range(1, 5):\n        warnings.warn(f'level {level}', stacklevel=level)\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        warn()\n        return x\nNet()(torch.ones(2))\n",
    ),
    Odd(
        "logging's caller",
        "import logging\nimport torch\nlogging.basicConfig(format='%(filename)s %(funcName)s %(lineno)d %(message)s')\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        logging.warning('here', stack_info=True, stacklevel=2)\n        return x\nNet()(torch.ones(2))\n",
    ),
    Odd(
        "faulthandler",
        "import faulthandler, sys\nimport torch\nfaulthandler.dump_traceback(sys.stdout)\nfaulthandler.enable()\nprint(faulthandler.is_enabled())\n"
        + FAIL,
    ),
    Odd(
        "settrace",
        "import sys, collections\nimport torch\nm, x = torch.nn.Linear(2, 2), torch.ones(1, 2)\nm(x)\ncounts = collections.Counter()\ndef trace(frame, event, arg):\n    counts[frame.f_code.co_filename.split('/')[-1], event] += 1\n    return None\nsys.settrace(trace)\nm(x)\nsys.settrace(None)\nprint(sorted(counts.items()))\n",
    ),
    Odd(
        "setprofile",
        "import sys, collections\nimport torch\nm, x = torch.nn.Linear(2, 2), torch.ones(1, 2)\nm(x)\ncounts = collections.Counter()\ndef trace(frame, event, arg):\n    counts[event] += 1\nsys.setprofile(trace)\nm(x)\nsys.setprofile(None)\nprint(sorted(counts.items()))\n",
    ),
    Odd(
        "cProfile",
        "import cProfile, io, pstats\nimport torch\nm, x = torch.nn.Linear(2, 2), torch.ones(1, 2)\nm(x)\np = cProfile.Profile()\np.enable()\nm(x).sum().backward()\np.disable()\nstats = pstats.Stats(p)\nprint(stats.total_calls, sorted(k[2] for k in stats.stats))\n",
    ),
    Odd(
        "gettrace and getprofile",
        "import sys, threading\nimport torch\nprint(sys.gettrace(), sys.getprofile(), threading.gettrace() if hasattr(threading, 'gettrace') else None)\nprint(threading.enumerate(), threading.active_count())\n",
    ),
    Odd(
        "gc's tensors",
        "import gc\nimport torch\nx = [torch.ones(2) for _ in range(5)]\ny = sum(x)\nprint(sum(isinstance(o, torch.Tensor) for o in gc.get_objects()), len(gc.callbacks), gc.get_threshold(), len(gc.garbage))\n",
    ),
    Odd(
        "weak references and counts",
        "import sys, weakref\nimport torch\nx = torch.ones(2)\ny = x + 1\nprint(sys.getrefcount(x), sys.getrefcount(y), weakref.getweakrefcount(x), weakref.getweakrefcount(y))\nr = weakref.ref(y)\ndel y\nprint(r())\n",
    ),
    Odd(
        "function modes counted",
        "import torch\nfrom torch.overrides import _len_torch_function_stack as f\nfrom torch._C import _len_torch_dispatch_stack as d\nprint(f(), d())\ntorch.ones(2) + 1\nprint(f(), d())\n",
    ),
    Odd(
        "signatures",
        "import inspect\nimport torch\nprint(inspect.signature(torch.nn.Module.__call__), inspect.signature(torch.optim.SGD.step), inspect.signature(torch.nn.Module.zero_grad), inspect.signature(torch.Tensor.backward), inspect.signature(torch.autograd.backward))\nprint(torch.nn.Module.__call__.__qualname__, torch.Tensor.__add__, torch.optim.Optimizer.zero_grad.__module__)\n",
    ),
]

MAIN = [
    Odd(
        "pickles of main's classes",
        "import pickle\nimport torch\nclass Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.l = torch.nn.Linear(2, 2)\nn = pickle.loads(pickle.dumps(Net()))\ntorch.save(n, 'net.pt')\nprint(type(torch.load('net.pt', weights_only=False)), Net.__module__)\n"
        + FAIL,
    ),
    Odd(
        "type hints",
        "import typing\nimport torch\nclass A:\n    x: 'torch.Tensor'\n    y: int = 1\nz: float = 2.0\nprint(typing.get_type_hints(A), __annotations__)\n",
    ),
    Odd(
        "names of main",
        "import sys\nprint(__name__, __spec__, __package__, __loader__.__class__, __loader__.path if hasattr(__loader__, 'path') else None, __cached__ if '__cached__' in globals() else '-', __file__, __doc__, __builtins__)\nprint(sorted(globals()), sys.modules['__main__'].__dict__ is globals())\nimport torch\n",
    ),
    Odd(
        "modules loaded",
        "import sys\nprint(sorted(m for m in sys.modules if m.startswith(('torch', 'json', 'ast', 'difflib', 'dataclasses', 'typing', 'argparse'))))\n",
    ),
    Odd(
        "main's linecache and getsource",
        "import inspect, linecache\nimport torch\ndef f():\n    return 1\nprint(inspect.getsource(f), inspect.getfile(f), linecache.getline(__file__, 2))\n"
        + FAIL,
    ),
    Odd(
        "future and docstring",
        "'''A doc.'''\nfrom __future__ import annotations\ndef f(x: int) -> str: ...\nprint(f.__annotations__, __doc__)\n" + FAIL,
    ),
    Odd(
        "future not passed on",
        "print(compile('def f(x: int): ...', 'x', 'exec').co_flags)\nns = {}\nexec('def f(x: int): ...', ns)\nprint(ns['f'].__annotations__)\n"
        + FAIL,
    ),
    Odd("deleted source", "import os\nimport torch\nos.remove(__file__)\n" + FAIL),
    Odd("rewritten source", "import os\nimport torch\nopen(__file__, 'w').write('other\\n' * 10)\n" + FAIL),
    Odd("deleted folder", "import os, shutil\nimport torch\nos.makedirs('gone')\nos.chdir('gone')\nos.rmdir(os.getcwd())\n" + FAIL),
    Odd(
        "chdir at import",
        "import os, other\n" + FAIL,
        files={"other.py": "import os\nos.makedirs('deep', exist_ok=True)\nos.chdir('deep')\n"},
    ),
    Odd(
        "asyncio",
        "import asyncio\nimport torch\nasync def part(n):\n    await asyncio.sleep(0.01)\n    return torch.ones(2, 3) @ torch.ones(n, 5)\nasync def main():\n    print((await part(3)).shape)\n    await asyncio.gather(part(3), part(4))\nasyncio.run(main())\n",
    ),
    Odd(
        "contextvars",
        "import contextvars\nv = contextvars.ContextVar('v', default=0)\nv.set(3)\nprint(v.get(), len(contextvars.copy_context()))\n"
        + FAIL,
    ),
    Odd(
        "decimal, locale and seeds",
        "import decimal, locale, random\nimport torch\nprint(decimal.getcontext().prec, locale.getlocale(), hash('x') == hash('x'))\ntorch.manual_seed(0)\nrandom.seed(0)\nprint(torch.rand(3), random.random(), torch.initial_seed(), torch.get_num_threads(), torch.is_grad_enabled())\n",
    ),
]

STARTS = [
    Odd("descriptor 0 closed", "import sys\nprint(sys.stdin)\n" + FAIL, RUN + " <&-"),
    Odd("descriptor 1 closed", "import os\nimport torch\n" + FAIL, RUN + " >&-"),
    Odd("descriptor 2 closed", FAIL, RUN + " 2>&-"),
    Odd("all closed", "fd = open('made', 'w')\nfd.write(str(fd.fileno()))\nfd.close()\n" + FAIL, RUN + " <&- >&- 2>&-"),
    Odd("stdout is full", FAIL.replace("rows, columns", "print('x' * 10)\nrows, columns"), RUN + " >/dev/full"),
    Odd("stdout is full, healthy", WELL, RUN + " >/dev/full"),
    Odd("stderr is full", FAIL, RUN + " 2>/dev/full"),
    Odd(
        "stdout is a broken pipe", "import torch\nfor _ in range(100000):\n    print('line')\n", RUN + ' | head -1; echo "${PIPESTATUS[0]}"'
    ),
    Odd("stderr is a broken pipe", FAIL, "(" + RUN + '; echo "code $?") 2>&1 >out.txt | true; sleep 0; cat out.txt'),
    Odd(
        "open descriptors",
        "import os\nimport torch\nprint(sorted(int(n) for n in os.listdir('/proc/self/fd')))\nfd = os.open('made', os.O_CREAT | os.O_WRONLY)\nprint(fd)\n",
        RUN + " 5<prog.py",
    ),
    Odd("children", "import os\nimport torch\nprint(open(f'/proc/self/task/{os.getpid()}/children').read())\n"),
    Odd("few descriptors", FAIL, "ulimit -n 40; " + RUN),
    Odd("very few descriptors", "import resource\nimport torch\nresource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))\n" + FAIL),
    Odd("little memory", "import resource\nimport torch\nresource.setrlimit(resource.RLIMIT_AS, (1500 * 2**20, 1500 * 2**20))\n" + FAIL),
    Odd("no processes", FAIL, "ulimit -u 40 2>/dev/null; " + RUN),
    Odd("small stack", FAIL, "ulimit -s 512; " + RUN),
    Odd("files may not grow", FAIL, "ulimit -f 0; " + RUN),
    Odd("cpu limit", FAIL, "ulimit -t 60; " + RUN),
    Odd("read-only folder", FAIL, 'mkdir shut; cp prog.py shut/; chmod 555 shut; cd shut; "$PY" $WHY prog.py'),
    Odd("spaces in names", FAIL, 'mkdir "a b"; cp prog.py "a b/my prog.py"; cd "a b"; "$PY" $WHY "my prog.py" "x y"'),
    Odd("newline and quote in a name", FAIL, "cp prog.py $'a\\n\"b\\'.py'; \"$PY\" $WHY $'a\\n\"b\\'.py'"),
    Odd("escapes in a name", FAIL, "cp prog.py $'a\\x1b[31mb.py'; \"$PY\" $WHY $'a\\x1b[31mb.py'"),
    Odd("a name that is no text", FAIL, "cp prog.py $'a\\xff.py'; \"$PY\" $WHY $'a\\xff.py'"),
    Odd("a name that is a dash", FAIL, 'cp prog.py ./-x.py; "$PY" $WHY ./-x.py'),
    Odd("no suffix", FAIL, 'cp prog.py prog; "$PY" $WHY prog'),
    Odd("a zipapp", FAIL, 'mkdir app; cp prog.py app/__main__.py; "$PY" -m zipapp app -o app.pyz; rm -r app; "$PY" $WHY app.pyz'),
    Odd("a folder with main", FAIL, 'mkdir app; cp prog.py app/__main__.py; "$PY" $WHY app'),
    Odd("a compiled file", WELL, '"$PY" -c "import py_compile; py_compile.compile(\'prog.py\', \'prog.pyc\')"; "$PY" $WHY prog.pyc'),
    Odd(
        "a namespace package",
        "from . import other\nprint(__package__, other.__name__)\n" + FAIL,
        'mkdir -p space/part; cp prog.py space/part/run.py; echo "x = 1" > space/part/other.py; "$PY" $WHY -m space.part.run a b',
    ),
    Odd(
        "a package's main",
        "from .other import x\nprint(x, __name__, __spec__.name)\n" + FAIL,
        'mkdir pack; touch pack/__init__.py; cp prog.py pack/__main__.py; echo "x = 1" > pack/other.py; "$PY" $WHY -m pack',
    ),
    Odd("a descriptor as script", FAIL, '"$PY" $WHY /dev/fd/7 7<prog.py'),
    Odd("stdin as script", FAIL, '"$PY" $WHY /dev/stdin <prog.py'),
    Odd("stdin is read", "import sys\nprint(sys.stdin.read())\n" + FAIL, 'echo typed | "$PY" $WHY prog.py'),
    Odd("stdin is left", "import sys\nprint(input())\n" + FAIL, '(echo one; echo two) > lines; ("$PY" $WHY prog.py; cat) < lines'),
    Odd("no HOME", FAIL, 'unset HOME; "$PY" $WHY prog.py'),
    Odd("no temporary folder", FAIL, 'TMPDIR=/nowhere "$PY" $WHY prog.py'),
    Odd("empty environment", "import os\nprint(sorted(os.environ))\n" + FAIL, 'env -i "$PY" $WHY prog.py'),
    Odd(
        "environment",
        "import os\nprint(sorted((k, v) for k, v in os.environ.items() if k not in ('_', 'WHY', 'PY')))\nimport torch\nprint(len(os.environ))\n",
    ),
    Odd("-B", "import sys, other\nprint(sys.flags, sys.dont_write_bytecode)\n" + FAIL, '"$PY" -B $WHY prog.py', files={"other.py": ""}),
    Odd("bytecode is written", "import sys, other\n" + FAIL, 'unset PYTHONDONTWRITEBYTECODE; "$PY" $WHY prog.py', files={"other.py": ""}),
    Odd("-O", "print(__debug__)\nassert False\n" + FAIL, '"$PY" -O $WHY prog.py'),
    Odd("-OO", "'''doc'''\nprint(__doc__)\n" + FAIL, '"$PY" -OO $WHY prog.py'),
    Odd("-W error", "import warnings\nimport torch\nwarnings.warn('x')\n", '"$PY" -W error::UserWarning $WHY prog.py'),
    Odd("-X dev", "import sys\nprint(sys.flags, sys._xoptions)\nf = open('prog.py')\ndel f\n" + FAIL, '"$PY" -X dev $WHY prog.py'),
    Odd(
        "-X utf8 and tracemalloc",
        "import sys, tracemalloc\nprint(sys.flags, sys._xoptions, tracemalloc.is_tracing())\n" + WELL,
        '"$PY" -X utf8 -X tracemalloc=3 $WHY prog.py',
    ),
    Odd("-I", "import sys\nprint(sys.flags, sys.path[0])\n" + FAIL, '"$PY" -I $WHY prog.py'),
    Odd("-P", "import sys\nprint(sys.flags, sys.path[0])\n" + FAIL, '"$PY" -P $WHY prog.py'),
    Odd("-u", "import sys\nprint(sys.stdout.write_through)\n" + FAIL, '"$PY" -u $WHY prog.py'),
    Odd("-q -s -E", "import sys\nprint(sys.flags)\n" + FAIL, '"$PY" -q -s -E $WHY prog.py'),
    Odd(
        "optimised by environment",
        "import sys\nprint(sys.flags, sys.hash_info.algorithm, hash('a'))\n" + FAIL,
        'PYTHONHASHSEED=7 PYTHONOPTIMIZE=1 PYTHONUNBUFFERED=1 "$PY" $WHY prog.py',
    ),
    Odd(
        "ascii locale",
        "print('é' if False else 'e')\nx = 'é→'\nprint(ascii(x))\n" + FAIL,
        'LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 "$PY" $WHY prog.py',
    ),
    Odd("ignored SIGINT", FAIL, "trap '' INT; " + RUN),
    Odd(
        "in the background with nohup", FAIL, 'nohup "$PY" $WHY prog.py < /dev/null > out 2> err; code=$?; cat out; cat err >&2; exit $code'
    ),
    Odd(
        "low priority",
        "import os\nprint(os.nice(0), os.getpgid(0) == os.getpid(), os.getppid() > 1)\nprint(oct(os.umask(0)))\n" + FAIL,
        "umask 077; nice -n 5 " + RUN,
    ),
    Odd("syntax error", "x = = 1\n"),
    Odd("null byte", "x = 1\0\n"),
    Odd("other encoding", "# coding: latin-1\nprint(ascii('\u00e9'))\n" + FAIL),
    Odd("mark and crlf", "\ufeffimport torch\r\ntorch.ones(2, 3) @ torch.ones(4, 5)\r\n"),
    Odd("empty program", ""),
]

GROUPS = {"hooks": HOOKS, "ends": ENDS, "forks": FORKS, "frames": FRAMES, "main": MAIN, "starts": STARTS}
