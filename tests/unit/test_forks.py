"""Children of functions: those of `multiprocessing` run as fast as the host itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import multiprocessing, os, sys
from outlast.host import forks

forks._PACKAGE = sys.argv[1]  # this file stands for the host, which called the function
exec(compile('''
def host():
    function()
''', sys.argv[1] + "/host.py", "exec"))

def function():
    def told(send):
        send.send(sys.getprofile())
    receive, send = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=told, args=(send,))
    child.start()
    child.join()
    # Flushed before the fork: the child would print it again.
    print(receive.recv(), flush=True)
    if os.fork() == 0:
        print(sys.getprofile() is not None, flush=True)
        os._exit(0)
    os.wait()

forks.end_forked_hosts()
host()
"""


def test_only_a_child_that_may_come_back_is_profiled(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["None", "True"]
