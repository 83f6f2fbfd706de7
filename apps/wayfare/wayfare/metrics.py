"""Everything Wayfare measures."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, Info

LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

BUILD = Info("wayfare_build", "Which replica this is and what it runs.")
READY = Gauge("wayfare_ready", "1 when the replica takes requests.")
DEPENDENCY_UP = Gauge("wayfare_dependency_up", "1 when a dependency answered its last probe.", ["dependency"])

HTTP_REQUESTS = Counter("wayfare_http_requests", "HTTP requests answered.", ["method", "route", "status"])
HTTP_SECONDS = Histogram(
    "wayfare_http_request_seconds", "Time to answer.", ["method", "route"], buckets=LATENCY
)
HTTP_IN_FLIGHT = Gauge("wayfare_http_requests_in_flight", "HTTP requests being answered.")
RPC_REQUESTS = Counter("wayfare_rpc_requests", "gRPC calls answered.", ["method", "code"])
RPC_SECONDS = Histogram(
    "wayfare_rpc_request_seconds", "Time to answer a gRPC call.", ["method"], buckets=LATENCY
)
RPC_IN_FLIGHT = Gauge("wayfare_rpc_requests_in_flight", "gRPC calls being answered.")

SEARCHES = Counter("wayfare_searches", "Searches answered, by who answered.", ["source"])
SEARCH_SECONDS = Histogram("wayfare_search_seconds", "Time to find journeys.", ["source"], buckets=LATENCY)
SEARCH_FALLBACKS = Counter(
    "wayfare_search_fallbacks", "Searches asked of the database because journeys was away.", ["reason"]
)
# Under the name that the platform's alert FallbacksRising looks for, whatever the application.
FALLBACKS = Counter("application_fallbacks", "Times it did without a dependency.", ["dependency"])
for _dependency in ("journeys", "redis"):
    # There before the first: a counter that begins at its first event hides it.
    FALLBACKS.labels(_dependency)
BOOKINGS = Counter("wayfare_bookings", "Booking requests.", ["outcome"])
BOOKED_SEATS = Counter("wayfare_booked_seats", "Seats sold.")
BOOKING_VALUE = Counter("wayfare_booking_value_euros", "Value of bookings.")
CONVERSIONS = Counter("wayfare_conversions", "Visitors who searched and then booked.")

CACHE = Counter("wayfare_cache_requests", "Cache look-ups.", ["result"])
DATABASE_RETRIES = Counter("wayfare_database_retries", "Units of work tried again.", ["pool", "reason"])
DATABASE_CONNECTIONS = Gauge("wayfare_database_connections", "Connections in a pool.", ["pool", "state"])
DATABASE_WAITING = Gauge("wayfare_database_waiting", "Requests waiting for a connection.", ["pool"])

WEBSOCKETS = Gauge("wayfare_websocket_connections", "Browsers connected.")
WEBSOCKET_MESSAGES = Counter("wayfare_websocket_messages", "Messages sent to browsers.", ["type"])
WEBSOCKET_DROPPED = Counter("wayfare_websocket_dropped", "Connections closed because they did not keep up.")
FEED_RECONNECTS = Counter("wayfare_feed_reconnects", "Times the subscription had to be made again.")
