"""Runs a program and stops single threads of it. Each line names a thread to stop; an empty one lets it go on."""

import ctypes
import os
import signal
import subprocess
import sys

SEIZE, INTERRUPT, DETACH, PDEATHSIG, WALL = 0x4206, 0x4207, 17, 1, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


def thread_named(pid, name):
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm") as comm:
            if comm.read().strip() == name:
                return int(thread)
    raise LookupError(name)


def die_with_parent():
    libc.prctl(PDEATHSIG, signal.SIGKILL)


child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
halted = None
for line in sys.stdin:
    if name := line.strip():
        halted = thread_named(child.pid, name)
        ptrace(SEIZE, halted)
        ptrace(INTERRUPT, halted)
        os.waitpid(halted, WALL)
    else:
        ptrace(DETACH, halted)
    print("done", flush=True)
