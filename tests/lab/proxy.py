"""A hand on the line between roostd and BIRD: commands go through one by one, and a test
may act at any of them."""

import os
import shutil
import socket
import threading

PATH = "/run/bird/proxy.ctl"        # on the node, for bird.socket of roost.yaml


class Proxy:
    """Listens on PATH and passes on to BIRD's own socket.  `act(number, command, when)` is
    called with when = "sent", before BIRD hears the number-th command of a transaction, and
    "answered", before roostd hears the answer; what it returns true for ends there."""

    def __init__(self, node):
        self.path = node.path("root") + PATH
        self.bird = node.path("root") + "/run/bird/bird.ctl"
        self.act = lambda number, command, when: False
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        shutil.chown(self.path, "bird", "bird")
        os.chmod(self.path, 0o660)
        self.server.listen(16)
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()

    def _accept(self):
        while True:
            try:
                roostd = self.server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(roostd,), daemon=True).start()

    def _serve(self, roostd):
        with roostd, socket.socket(socket.AF_UNIX) as bird:
            try:
                bird.connect(self.bird)
                answers, commands = bird.makefile("rb"), roostd.makefile("rb")
                roostd.sendall(self._answer(answers))
                number, transaction = 0, None
                for line in commands:
                    command = line.decode().strip()
                    if transaction is None:     # an observation begins with "show status"
                        transaction = command == "configure status"
                    number += 1
                    if transaction and self.act(number, command, "sent"):
                        return
                    bird.sendall(line)
                    answer = self._answer(answers)
                    if transaction and self.act(number, command, "answered"):
                        return
                    roostd.sendall(answer)
            except (OSError, EOFError):
                return

    @staticmethod
    def _answer(stream):
        """All lines of one reply; the last has a blank behind its code."""
        lines = []
        while True:
            line = stream.readline()
            if not line:
                raise EOFError
            lines.append(line)
            if len(line) > 4 and line[:4].isdigit() and line[4:5] == b" ":
                return b"".join(lines)
