"""Runs inside the image, before each test's own lines: the calls of both services."""

from __future__ import annotations

import grpc
from wayfare.rpc import health_pb2, journeys_pb2

HEALTH = "grpc.health.v1.Health"
JOURNEYS = "wayfare.Journeys"


class Calls:
    def __init__(self, target: str) -> None:
        channel = grpc.insecure_channel(target)
        self.check = channel.unary_unary(
            f"/{HEALTH}/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        self.search = channel.unary_unary(
            f"/{JOURNEYS}/Search",
            journeys_pb2.SearchRequest.SerializeToString,
            journeys_pb2.SearchReply.FromString,
        )
        self.watch = channel.unary_stream(
            f"/{JOURNEYS}/Watch",
            journeys_pb2.WatchRequest.SerializeToString,
            journeys_pb2.SeatsLeft.FromString,
        )
