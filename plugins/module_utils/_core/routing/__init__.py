"""Who gets traffic: the edge, routers, replicas that take turns, hosts that go out of service."""
