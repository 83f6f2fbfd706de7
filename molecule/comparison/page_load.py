"""One steady load for every contender: the page (GET), and 4 KiB sent to it (POST), on kept connections.

`web` refuses a POST with 405, which is an answer of a replica like any other. It is there because a proxy may
repeat a GET that got none, and hide what happened; a POST it may not.
"""

from __future__ import annotations

import http.client
import secrets
import threading
import time
from collections.abc import Callable

from load_sessions import NO_ANSWER, pace
from reckoning import Answer

CLIENTS = 8
EVERY_SO_MANY_A_POST = 4
EXPECTED = {"GET": 200, "POST": 405}
VERSION = "X-Wayfare-Version"
SIZE = 4096

Connect = Callable[[], http.client.HTTPConnection]


class PageLoad:
    """`with PageLoad(connect, rate) as load: …`; afterwards `load.answers` has every request, in no order."""

    def __init__(self, connect: Connect, rate: float) -> None:
        self._connect = connect
        self._rate = rate / CLIENTS
        self._ended = threading.Event()
        self._clients = [threading.Thread(target=self._work, args=(number,)) for number in range(CLIENTS)]
        self.answers: list[Answer] = []

    def __enter__(self) -> PageLoad:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for client in self._clients:
            client.join(timeout=60)

    def _work(self, number: int) -> None:
        # Not all at the same moment.
        self._ended.wait(number / CLIENTS / self._rate)
        connection, turn = self._connect(), number
        while not self._ended.is_set():
            begun = time.monotonic()
            answer = ask(connection, "GET" if turn % EVERY_SO_MANY_A_POST else "POST")
            turn += 1
            self.answers.append(answer)
            if answer.wrong:
                # A client whose connection failed begins anew, so that one failure is counted once.
                connection.close()
                connection = self._connect()
            self._ended.wait(pace(begun, self._rate))
        connection.close()


def ask(connection: http.client.HTTPConnection, method: str) -> Answer:
    begun = time.monotonic()
    version = wrong = ""
    try:
        connection.request(method, "/", secrets.token_bytes(SIZE) if method == "POST" else None)
        response = connection.getresponse()
        response.read()
        version = response.headers.get(VERSION, "")
        if response.status != EXPECTED[method] or not version:
            wrong = f"{response.status}{'' if version else ' of no replica'}"
    except NO_ANSWER as problem:
        wrong = f"no answer: {type(problem).__name__}"
    ended = time.monotonic()
    return Answer(ended, ended - begun, method, version, wrong)
