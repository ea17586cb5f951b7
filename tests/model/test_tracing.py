"""No module may run while the compiler traces; what it traces once in a process is done before."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.fx import Tracer

from dbsa_core.devices import CPU, CUDA
from dbsa_core.model import language_model
from dbsa_core.model.tracing import trace_before_compiling
from tests.tiny import tiny_model


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is traced in such a way that modules of other threads cannot run meanwhile."""
    found: list[str] = []
    trace = Tracer.trace

    def told(self: Tracer, *given: Any, **how: Any) -> Any:
        if type(self).call_module is Tracer.call_module:
            found.append(type(self).__name__)
        return trace(self, *given, **how)

    monkeypatch.setattr(Tracer, "trace", told)
    return found


@pytest.mark.parametrize("policy", [CPU, CUDA])
def test_it_is_traced_when_a_model_is_made_for_which_layers_are_compiled(
    monkeypatch: pytest.MonkeyPatch, policy: Any
) -> None:
    done: list[None] = []
    monkeypatch.setattr(language_model, "policy_for", lambda device: policy)
    monkeypatch.setattr(language_model, "trace_before_compiling", lambda: done.append(None))
    tiny_model()
    assert len(done) == policy.captures


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler's own code
def test_compiling_traces_nothing_that_was_not_traced_before(traced: list[str]) -> None:
    from torch._inductor.loop_body import InterpreterShim

    InterpreterShim._dummy_gm.cache_clear()
    trace_before_compiling.cache_clear()
    trace_before_compiling()
    assert traced, "else the compiler does it elsewhere"
    before = len(traced)
    torch._dynamo.reset()
    compiled = torch.compile(lambda one, two: torch.log_softmax(one @ two, -1), dynamic=True)
    one, two = torch.randn(3, 4), torch.randn(4, 5)
    assert torch.allclose(compiled(one, two), torch.log_softmax(one @ two, -1), atol=1e-6)
    assert len(traced) == before
