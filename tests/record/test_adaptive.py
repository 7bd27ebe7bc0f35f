"""Full in the first steps, then marks, and back when something new turns up; away from compilers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from torchwhy.record import recorder as recorder_module
from torchwhy.record.recorder import Recorder


def adaptive(steps: int = 1, ops: int = 1) -> Recorder:
    recorder = Recorder("adaptive", full_steps=steps, full_ops=ops)
    recorder.start()
    return recorder


def test_full_then_marks_then_full_for_a_new_shape() -> None:
    call = nn.Module.__call__.__code__
    recorder = adaptive()
    net = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    fulls = []
    for batch in DataLoader(torch.ones(7, 2), batch_size=2):  # type: ignore[arg-type]
        fulls.append(recorder.full)
        optimizer.zero_grad()
        net(batch).sum().backward()
        optimizer.step()
    assert fulls == [True, False, False, True] and not recorder.full
    assert nn.Module.__call__.__code__ is call and torch._C._len_torch_function_stack() == 0
    assert recorder.summary().steps == 4
    net.eval()
    assert recorder.full
    recorder.stop()
    steps = {op.step for op in recorder.history() if op.name == "linear"}
    assert steps == {0, 3} and recorder.problems == []


def test_marks_without_an_optimizer_leave_nothing_on_the_stack() -> None:
    recorder = adaptive()
    net = nn.Linear(2, 1)
    for _ in range(3):
        net(torch.ones(1, 2)).sum().backward()
    assert not recorder.full and torch._C._len_torch_function_stack() == 0
    recorder.stop()
    assert recorder.problems == []


def test_small_programs_are_wholly_recorded() -> None:
    recorder = Recorder()
    recorder.start()
    p = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([p], lr=0.1)
    for _ in range(20):
        p.exp().backward()
        optimizer.step()
    assert recorder.full
    recorder.stop()
    assert recorder.problems == []


def test_jit_and_fx_see_torch_as_it_is(recorder: Recorder) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    scripted = torch.jit.script(net)
    traced = torch.jit.trace(net, torch.ones(1, 2))
    assert torch.equal(scripted(torch.ones(1, 2)), traced(torch.ones(1, 2)))
    assert torch.fx.symbolic_trace(net)(torch.ones(1, 2)).shape == (1, 2)
    torch.ones(1).exp()
    assert recorder.history()[-1].name == "exp"


def test_compiled_code_has_no_new_graph_and_no_recompilation() -> None:
    dynamo = pytest.importorskip("torch._dynamo")

    def count(recorded: bool) -> tuple[int, int]:
        dynamo.reset()
        dynamo.utils.counters.clear()
        graphs: list[object] = []
        traces: list[str] = []

        def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
            traces.extend(str(node.meta.get("stack_trace")) for node in graph.graph.nodes)
            graphs.append(graph)
            return graph.forward

        recorder = Recorder("full" if recorded else "off")
        recorder.start()
        try:
            net = torch.compile(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), backend=backend)
            function = torch.compile(lambda x: (x + 1).sin(), backend=backend)
            inner = nn.Linear(2, 2)
            inner.compile(backend=backend)
            for _ in range(3):
                net(torch.ones(1, 2)).sum().backward()
                function(torch.ones(2))
                inner(torch.ones(1, 2))
        finally:
            recorder.stop()
        assert recorder.problems == []
        assert not [trace for trace in traces if "/torchwhy/record/" in trace]
        return len(graphs), sum(dynamo.utils.counters["graph_break"].values())

    assert count(True) == count(False)


def test_a_loop_without_modules_falls_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "_MOST_FULL_OPS", 50)
    recorder = Recorder()
    recorder.start()
    x = torch.zeros(2)
    for _ in range(200):
        x = x + 1
    recorder.stop()
    assert x.tolist() == [200.0, 200.0]
    assert 50 <= len(recorder.history()) <= 60
