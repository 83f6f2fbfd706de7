"""Ask Prometheus: instant queries, each within a deadline, answered as series of raw samples."""

from __future__ import annotations

import http.client
import json
import math
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import SlipwayError
from .transport import Place, connection

DEADLINE = 3.0
# An hour of every counter of a large edge is some ten megabytes.
MOST = 64 * 1024 * 1024


@dataclass(frozen=True)
class Series:
    """One series: its labels, and (time in seconds since the epoch, value), rising in time."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]


class Prometheus:
    """One Prometheus, without TLS, at an address of the environment's private network."""

    def __init__(self, host: str, port: int, deadline: float = DEADLINE) -> None:
        self.name = f"Prometheus ({host}:{port})"
        self._place = Place(host, port)
        self._deadline = deadline

    def ask(self, query: str) -> list[Series]:
        """The answer to an instant query: raw samples for a range selector, else one sample a series."""
        try:
            status, body = self._post(urllib.parse.urlencode({"query": query}))
        except (OSError, http.client.HTTPException) as error:
            raise SlipwayError(
                f"{self.name} does not answer: {error or type(error).__name__}",
                "Start it (deploy again); docs/runbooks/prometheus.md says where to look",
            ) from error
        answer = _decoded(body)
        if answer.get("status") != "success":
            raise SlipwayError(
                f"{self.name} refuses `{query}`: {answer.get('error') or f'status {status}'}",
                "Correct the query; try it in Prometheus first",
            )
        return series(answer["data"])

    def value(self, query: str) -> float | None:
        """The one number a query comes to, the largest where it has several; None where it has none."""
        found = [one.samples[-1][1] for one in self.ask(query) if one.samples]
        numbers = [number for number in found if not math.isnan(number)]
        return max(numbers, default=None)

    def _post(self, form: str) -> tuple[int, bytes]:
        with connection(self._place, self._deadline) as stream:
            client = http.client.HTTPConnection(self._place.host, self._place.port)
            client.sock = stream
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
            client.request("POST", "/api/v1/query", form, headers)
            response = client.getresponse()
            return response.status, response.read(MOST)


def series(data: Mapping[str, Any]) -> list[Series]:
    """The `data` of an answer, whatever its form."""
    result = data["result"]
    if data["resultType"] in ("scalar", "string"):
        return [Series({}, (_sample(result),))]
    return [
        Series(dict(one["metric"]), tuple(map(_sample, one["values"] if "values" in one else [one["value"]])))
        for one in result
    ]


def _sample(pair: Any) -> tuple[float, float]:
    moment, value = pair
    return float(moment), float(value)


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
