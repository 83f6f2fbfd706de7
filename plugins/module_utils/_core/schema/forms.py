"""The forms of text a stack definition uses: what is accepted, what it is called, and an example."""

from __future__ import annotations

from .kinds import Integer, ListOf, Text

_LABEL = r"[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?"
_DOMAIN = r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
_IMAGE = (
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?/)?"  # registry, with a port if it has one
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"  # repository
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?@sha256:[0-9a-f]{64})"
)

NAME = Text(_LABEL, "a name of lower-case letters, digits and hyphens, at most 32, a letter first", "web-api")
DOMAIN = Text(_DOMAIN, "a domain in lower case, without scheme and port", "shop.example.com")
IMAGE = Text(_IMAGE, "an image reference with a tag or a digest", "registry.example.com/shop:1.4.2")
FILE = Text(r"[^\x00-\x1f\x7f]{1,1024}", "a path, relative to the checkout", "apps/shop")
WORD = Text(r"[^\x00-\x08\x0e-\x1f\x7f]*", "text", '"--verbose"')
HOST = Text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}", "the inventory name of a host", "web-1.example.com")
URL_PATH = Text(r"/[A-Za-z0-9._~/:@%+=,&?-]*", "a path that begins with /", "/api/")
ROUTE_PATH = Text(r"/[A-Za-z0-9._~/:@%+-]*", "a path that begins with /", "/api/")
HEALTH = Text(
    r"|/[A-Za-z0-9._~/:@%+=,&?-]*|[A-Za-z_][A-Za-z0-9_.]*",
    'a path that begins with /, or for grpc the service to ask for ("" asks for the server)',
    "/ready",
)
SECRET = Text(
    r"[a-z][a-z0-9_]{0,62}", "a secret's name: lower-case letters, digits and underscores", "session_key"
)
VARIABLE = Text(
    r"[A-Za-z_][A-Za-z0-9_]{0,127}", "a variable's name: letters, digits and underscores", "LOG_LEVEL"
)
DATABASE = Text(
    r"[a-z][a-z0-9_]{0,59}", "a database's name: lower-case letters, digits and underscores", "shop"
)
PARAMETER = Text(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?", "a PostgreSQL parameter's name", "shared_buffers")
HEADER = Text(r"[ !#-~]{1,4096}", "a header's value without double quotes", "default-src 'self'")
ORIGIN = Text(
    r"https?://(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?::[0-9]{1,5})?",
    "an origin: scheme, domain and port, without a path",
    "https://shop.example.com",
)
ENVIRONMENT = Text(
    r"[A-Za-z_][A-Za-z0-9_-]{0,62}", "an environment's name, as the inventory has it", "production"
)
STRATEGY = Text(
    r"[a-z][a-z0-9_-]{0,31}",
    "a strategy's name: lower-case letters, digits, hyphens and underscores",
    "blue_green",
)
RELEASE = Text(r"[0-9a-f]{12}", "a release's id, as playbooks/history.yml shows it", "3f2a9c0d1e5b")
JOB = Text(
    r"[a-z][a-z0-9_-]{0,31}",
    "a job's name: lower-case letters, digits, hyphens and underscores",
    "warm_cache",
)
VOLUME_PATH = Text(
    r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+", "an absolute path of letters, digits and . _ -", "/var/lib/shop"
)
VOLUME = Text(
    r"[a-z](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9][a-z0-9_.-]*)?",
    "a volume's name: of a component, or `<service>.<volume>`",
    "api.uploads",
)
ANSWER = Text(r"[^\x00-\x1f\x7f]{1,256}", "a line of text, at most 256 characters", '"journeys"')
QUERY = Text(r"(?s:.*\S.*)", "a PromQL query", "'sum(rate(orders_failed_total{pool=\"$pool\"}[2m]))'")
TIME_OF_DAY = Text(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", "a time of day in UTC", '"02:00"')
ENDPOINT = Text(
    r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?",
    "a host name without scheme, with a port if it is not 443",
    "s3.example.com",
)
BUCKET = Text(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket's name", "shop-backups")
REGION = Text(r"[a-z0-9-]{1,63}", "a region's name", "eu-central-1")
ACCOUNT = Text(r"[a-z_][a-z0-9_.-]{0,63}", "a user's name", "backup")
FINGERPRINT = Text(r"[0-9a-f]{64}", "the SHA-256 of the server's host key in hexadecimal digits", "5f3b…")
STATEMENT = Text(r"(?s:.*\S.*)", "a query that answers true", '"SELECT count(*) > 0 FROM orders"')
NETWORK = Text(
    r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:/[0-9]{1,2})?|[0-9a-fA-F:]*:[0-9a-fA-F:]*(?:/[0-9]{1,3})?",
    "an address or a network",
    "10.0.0.0/8",
)
HOSTS = ListOf(HOST, least=1, distinct=True)
PORT = Integer(1, 65535)
# What a placement that is not declared means.
KEEPER = "the third host, or the last of fewer"
