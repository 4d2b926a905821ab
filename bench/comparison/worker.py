"""A library in a process of its own: the loop there, and the handle here."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from . import peers

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
BOOT = "import sys; sys.path.insert(0, sys.argv[1]); from comparison.worker import serve; serve(*sys.argv[2:])"


class Failed(Exception):
    """The library raised, or its process died; the message is the last line of its traceback."""


class Worker:
    """A process that holds one library, and with it that library's thread pools."""

    def __init__(self, library: str, folder: str, threads: int) -> None:
        self.library = library
        pools = dict.fromkeys(POOLS, str(threads))
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", BOOT, str(Path(__file__).parents[1]), library, folder],
            env={**os.environ, **pools},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.about: dict[str, Any] = self.receive()

    def call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """The peer's method, called there."""
        assert self.process.stdin
        try:
            pickle.dump((method, arguments, keywords), self.process.stdin)
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Failed(self.death()) from None
        return self.receive()

    def receive(self) -> Any:
        """The next answer; raises what came instead of one."""
        assert self.process.stdout
        try:
            kind, answer = pickle.load(self.process.stdout)
        except EOFError:
            raise Failed(self.death()) from None
        if kind == "absent":
            raise peers.Unavailable(answer)
        if kind == "failed":
            raise Failed(answer)
        return answer

    def death(self) -> str:
        """What to say of a process that is gone."""
        return f"the process of {self.library} died with status {self.process.wait()}"

    def close(self) -> None:
        """End the process, whatever it does."""
        self.process.terminate()
        self.process.communicate()


def serve(library: str, folder: str) -> None:
    """Answer calls on standard input until it ends; what the library prints goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(kind: str, what: Any) -> None:
        pickle.dump((kind, what), outgoing)
        outgoing.flush()

    try:
        peer = peers.load(library, folder)
        answer("ready", peer.about())
    except peers.Unavailable as error:
        answer("absent", str(error))
        return
    while True:
        try:
            method, arguments, keywords = pickle.load(incoming)
        except EOFError:
            return
        try:
            answer("done", getattr(peer, method)(*arguments, **keywords))
        except Exception as error:
            traceback.print_exc()
            answer("failed", f"{type(error).__name__}: {error}")
