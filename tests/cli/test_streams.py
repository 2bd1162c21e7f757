"""What is asked for is done, whoever reads the output and in whatever encoding."""

import io
import os
import subprocess
import sys

import pytest

from beft_lib.cli import streams


def test_a_closed_pipe_stops_nothing():
    read, write = os.pipe()
    stream = streams.Steady(os.fdopen(write, "w", buffering=1))
    stream.write("first\n")
    assert os.read(read, 10) == b"first\n"
    os.close(read)
    for _ in range(3):
        assert stream.write("nobody reads this\n") == 18
        stream.flush()
    stream.close()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_what_an_encoding_lacks_is_written_as_codes(encoding, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    streams.steady()
    print("±1: 差评")
    sys.stdout.flush()
    wanted = {
        "ascii": b"\\xb11: \\u5dee\\u8bc4",
        "latin-1": b"\xb11: \\u5dee\\u8bc4",
        "cp1252": b"\xb11: \\u5dee\\u8bc4",
        "utf-8": "±1: 差评".encode(),
    }
    assert raw.getvalue().rstrip() == wanted[encoding]


def test_a_command_whose_reader_is_gone_ends_with_its_own_status(tmp_path):
    for arguments, status in ((["list", "models"], 0), (["check", "no.yaml"], 2)):
        read, write = os.pipe()
        os.close(read)
        done = subprocess.run(
            [sys.executable, "-m", "beft_lib", *arguments],
            stdout=write,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            text=True,
        )
        os.close(write)
        assert done.returncode == status and "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
