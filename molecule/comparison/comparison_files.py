"""Files of plain Compose, and of what stands before it and Swarm: nginx as its manual shows it."""

from __future__ import annotations

from collections.abc import Sequence

# What carries it was put there by a comparison, and is removed by its end.
LABEL = "io.slipway.compare"
FOLDER = "/opt/slipway-compare"
BALANCER_PORT, WEB_PORT = 18080, 18081
# The same for every contender, as the reference stack has them.
CPUS, MEMORY = "0.5", "128M"


def nginx_conf(addresses: Sequence[str]) -> str:
    """nginx's defaults: passive health (max_fails=1, fail_timeout=10s); what is safe is tried elsewhere."""
    servers = "\n".join(f"        server {address}:{WEB_PORT};" for address in addresses)
    return f"""\
events {{}}
http {{
    access_log off;
    upstream web {{
{servers}
    }}
    server {{
        listen {BALANCER_PORT};
        location / {{
            proxy_pass http://web;
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}
"""


def balancer_yml(image: str) -> str:
    return f"""\
name: slipway-compare-balancer
services:
  nginx:
    image: {image}
    command: [nginx, -g, "daemon off;"]
    user: root
    restart: unless-stopped
    ports: ["{BALANCER_PORT}:{BALANCER_PORT}"]
    volumes: ["{FOLDER}/nginx.conf:/etc/nginx/nginx.conf:ro"]
    labels: {{{LABEL}: "yes"}}
networks:
  default:
    labels: {{{LABEL}: "yes"}}
"""


def web_yml(image: str, version: str) -> str:
    """One host's replica, as most people write it down."""
    return f"""\
name: slipway-compare
services:
  web:
    image: {image}
    command: [web]
    environment: {{WAYFARE_VERSION: {version}}}
    restart: unless-stopped
    init: true
    ports: ["{WEB_PORT}:8080"]
    cpus: {CPUS}
    mem_limit: {MEMORY}
    healthcheck:
      test: [CMD, curl, --fail, --silent, --output, /dev/null, "http://127.0.0.1:8080/ready"]
      interval: 10s
      start_period: 20s
      start_interval: 500ms
    labels: {{{LABEL}: "yes"}}
networks:
  default:
    labels: {{{LABEL}: "yes"}}
"""
