import os
import sys

from beft_lib.cli import main

try:
    status = main()
    sys.stdout.flush()
except BrokenPipeError:  # the reader of a pipe went away, as `head` does
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    status = 0
sys.exit(status)
