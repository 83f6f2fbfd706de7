"""gRPC: `journeys_pb2` and `health_pb2` are generated from `proto/` when the image is built."""

JOURNEYS = "wayfare.Journeys"
