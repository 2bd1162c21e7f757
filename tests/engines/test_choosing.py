"""Which engine is used; and an address that leads to no cluster is an error before anything is planned."""

import socket
import sys
import threading
import time

import pytest
from processes import run_all
from small_runs import specs

from beft_lib import engines, sweep, workspace
from beft_lib.engines import connection
from beft_lib.errors import UserError


@pytest.fixture
def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_this_machine_is_used_unless_the_workspace_says_otherwise(tmp_path, monkeypatch):
    assert engines.place() == engines.Place("local", workspace.workers())
    asked = []
    monkeypatch.setattr(connection, "connect", asked.append)
    told = workspace.Workspace(runs=tmp_path, engine="ray", address="host:1", workers=100)
    with workspace.using(told):
        assert engines.place() == engines.Place("ray", 100, "host:1")
        assert engines.place("local", workers=1) == engines.Place("local", 1)
    assert engines.place("ray").address == "auto" and asked == ["host:1", "auto"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "local", "address": "auto"}, "address 'auto' is of a cluster"),
        ({"engine": "ray", "workers": 0}, "workers 0"),
        ({"engine": "ray", "address": "head"}, "address 'head'.*HOST:PORT"),
        ({"engine": "ray", "address": "head:99999"}, "address 'head:99999'"),
        ({"engine": "ray", "address": "http://head:1"}, "address 'http://head:1'"),
    ],
)
def test_impossible_places_are_refused(options, said):
    with pytest.raises(UserError, match=said):
        engines.place(**options)


def test_published_records_are_not_run_on_a_cluster(tmp_path):
    with workspace.using(workspace.Workspace(runs=tmp_path, published=True)):
        with pytest.raises(UserError, match="leave the engine 'ray' out"):
            engines.place("ray")


def test_without_ray_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="requirements-ray.lock"):
        sweep.sweep(specs(1), engine="ray")


def test_the_command_line_refuses_before_anything_is_planned(free_port, tmp_path):
    """Exit 2, one message, nothing written: with Ray installed or not."""
    out = tmp_path / "out"
    done = run_all("smoke", "--engine", "ray", "--address", f"127.0.0.1:{free_port}", "--out", out)
    assert done.returncode == 2 and done.stdout == "" and not out.exists()
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def test_nothing_listens(free_port):
    pytest.importorskip("ray")
    for form in ("127.0.0.1:{}", "ray://127.0.0.1:{}"):
        started = time.monotonic()
        with pytest.raises(UserError, match=f"no Ray cluster answers at address .*{free_port}"):
            engines.place("ray", address=form.format(free_port))
        assert time.monotonic() - started < 2 * connection.SECONDS


@pytest.mark.slow
def test_what_listens_is_no_cluster():
    pytest.importorskip("ray")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        thread = threading.Thread(target=one.accept, daemon=True)
        thread.start()
        with pytest.raises(UserError, match="is no Ray cluster"):
            engines.place("ray", address=f"127.0.0.1:{one.getsockname()[1]}")
