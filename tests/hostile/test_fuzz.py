"""Every reader of foreign bytes refuses what it cannot read, and does nothing else, in little time and memory."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HERE = Path(__file__).parent
RUNS = 4000


def harness() -> ModuleType:
    """Load the harness, which is a program."""
    spec = importlib.util.spec_from_file_location("cmscert_fuzz_harness", HERE / "fuzz.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


FUZZ = harness()
SEEDS: dict[str, list[bytes]] = {name: FUZZ.corpus(name) for name in FUZZ.TARGETS}
LIMITS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def bent(draw: st.DrawFn, seeds: list[bytes], words: tuple[str, ...]) -> bytes:
    """Take a well-formed input and bend it in a few places."""
    content = draw(st.sampled_from(seeds))
    piece = st.binary(max_size=8) | st.sampled_from([word.encode() for word in words] or [b"\x80"])
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 0, 1, 4, 64])))
        content = content[:start] + draw(piece) * draw(st.sampled_from([1, 1, 1, 50])) + content[end:]
    return content


@pytest.mark.parametrize("name", FUZZ.TARGETS)
def test_seeds_and_what_was_found_earlier(name: str) -> None:
    """Every reader has seeds; they, and every input that it once stumbled over, are taken or refused."""
    assert SEEDS[name]
    for content in SEEDS[name]:
        FUZZ.TARGETS[name].run(content)


@pytest.mark.parametrize("name", FUZZ.TARGETS)
@LIMITS
@given(data=st.data())
def test_bent_inputs(name: str, data: st.DataObject) -> None:
    """Inputs that are nearly right are taken or refused with an InputError, each in less than a second."""
    content = data.draw(st.binary(max_size=200) | bent(SEEDS[name], FUZZ.TARGETS[name].words))
    began = time.process_time()
    FUZZ.TARGETS[name].run(content)
    assert time.process_time() - began < 1


@pytest.mark.slow
def test_a_short_run_under_atheris() -> None:
    """Some thousand inputs each, led by what code they reach: no crash, no second for one, no 200 MB above the base."""
    if importlib.util.find_spec("atheris") is None:
        message = "atheris is not installed: pip install atheris (Linux, Python before 3.14)"
        has_wheels = sys.platform == "linux" and sys.version_info < (3, 14)
        if os.environ.get("CI") == "true" and has_wheels:
            pytest.fail(message)
        pytest.skip(message)
    # Not under coverage: its tracing would take most of the time.
    around = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, str(HERE / "fuzz.py"), f"-runs={RUNS}", "-seed=4"]
    done = subprocess.run(command, capture_output=True, text=True, env=around, timeout=110, check=False)

    assert done.returncode == 0, done.stderr[-8000:]
    assert done.stderr.count("stat::number_of_executed_units") == len(FUZZ.TARGETS)
