#!/usr/bin/python3
"""A program on a terminal, for tests: screen.py LINES COLUMNS COMMAND...

Its screen is drawn by pyte. Commands come on standard input, a line each; each answer ends with
a line "."; TEXT may hold Python's escapes:

    keys TEXT      types it
    until REGEX    waits for the screen to match, at most a minute; "no" and the screen if not
    show           the screen
    size L C       the terminal becomes so large
    signal N       to the program
    colours        the colours that are on the screen
    end            waits for the program's end: its exit status, and what it left changed
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

import pyte

lines, columns = int(sys.argv[1]), int(sys.argv[2])
screen = pyte.Screen(columns, lines)
stream = pyte.ByteStream(screen)
raw = b""
status = None  # of the program, once it has ended


def set_size():
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))


def take(seconds):
    """What the program wrote; True if there was something."""
    global raw, status
    if not select.select([master], [], [], seconds)[0]:
        if status is None and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return False
    data = os.read(master, 65536)
    raw += data
    stream.feed(data)
    return True


def text():
    return "\n".join(line.rstrip() for line in screen.display)


def until(regex):
    end = time.monotonic() + 180
    while not re.search(regex, text(), re.M):
        if not take(0.2) and (status is not None or time.monotonic() > end):
            return "no\n" + text()
    return "yes"


def colours():
    found = {cell.fg for row in screen.buffer.values() for cell in row.values()} | {
        cell.bg for row in screen.buffer.values() for cell in row.values()}
    return " ".join(sorted(found - {"default"}))


def last(on, off):
    return raw.rfind(on) > raw.rfind(off)


def end():
    limit = time.monotonic() + 180
    while status is None or take(0):
        take(0.1)
        if time.monotonic() > limit:
            return "it does not end"
    changed = []
    if termios.tcgetattr(slave) != before:
        changed.append("modes")
    if last(b"\x1b[?1049h", b"\x1b[?1049l"):
        changed.append("screen")
    if last(b"\x1b[?25l", b"\x1b[?25h"):
        changed.append("cursor")
    return f"{status} {' '.join(changed)}".strip()


master, slave = pty.openpty()
set_size()
before = termios.tcgetattr(slave)
child = os.fork()
if not child:
    os.close(master)
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in range(3):
        os.dup2(slave, fd)
    os.environ["TERM"] = "xterm-256color"
    os.execvp(sys.argv[3], sys.argv[3:])

for line in sys.stdin:
    what, _, arg = line.rstrip("\n").partition(" ")
    while take(0):
        pass
    answer = ""
    if what == "keys":
        os.write(master, arg.encode().decode("unicode_escape").encode())
    elif what == "until":
        answer = until(arg)
    elif what == "show":
        answer = text()
    elif what == "size":
        lines, columns = map(int, arg.split())
        screen.resize(lines, columns)
        set_size()
    elif what == "signal":
        os.kill(child, int(arg))
    elif what == "colours":
        answer = colours()
    elif what == "end":
        answer = end()
    print(answer + "\n." if answer else ".", flush=True)
