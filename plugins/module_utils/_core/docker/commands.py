"""Docker command lines as values: built here, run elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

# One line per container; a tab never occurs in any of these.
CONTAINER_FORMAT = "\t".join(
    (
        '{{.Label "com.docker.compose.service"}}',
        '{{.Label "com.docker.compose.config-hash"}}',
        "{{.State}}",
        "{{.Status}}",
        "{{.ID}}",
    )
)


def containers(project: str) -> list[str]:
    chosen = ["--filter", f"label=com.docker.compose.project={project}"]
    chosen += ["--filter", "label=com.docker.compose.oneoff=False"]
    return ["docker", "ps", "--all", *chosen, "--format", CONTAINER_FORMAT]


def compose(project: str, file: str) -> list[str]:
    # All profiles: what is stopped is still part of the file.
    return ["docker", "compose", "--project-name", project, "--file", file, "--profile", "*"]


def service_hashes(project: str, file: str) -> list[str]:
    return [*compose(project, file), "config", "--hash", "*"]


def image_names(project: str, file: str) -> list[str]:
    return [*compose(project, file), "config", "--images"]


def remove_images(images: Sequence[str]) -> list[str]:
    return ["docker", "image", "rm", *images]


def present_images(images: Sequence[str]) -> list[str]:
    return ["docker", "image", "inspect", "--format", "{{.Id}}", *images]


def pull(image: str) -> list[str]:
    return ["docker", "pull", "--quiet", image]


def up(project: str, file: str, services: Sequence[str], timeout: int | None) -> list[str]:
    wait = [] if timeout is None else ["--wait", "--wait-timeout", str(timeout)]
    only_these = ["--no-deps", "--no-build", "--pull", "never"]
    return [*compose(project, file), "up", "--detach", *only_these, *wait, *services]


def restart(project: str, file: str, service: str) -> list[str]:
    return [*compose(project, file), "restart", "--no-deps", service]


def signal(project: str, file: str, service: str, name: str) -> list[str]:
    return [*compose(project, file), "kill", "--signal", name, service]


def remove(container_ids: Sequence[str]) -> list[str]:
    return ["docker", "rm", "--force", *container_ids]


def stop(container_ids: Sequence[str]) -> list[str]:
    return ["docker", "stop", *container_ids]


def restarts(container_ids: Sequence[str]) -> list[str]:
    return ["docker", "inspect", "--format", "{{.RestartCount}}", *container_ids]


def memory_limits(container_ids: Sequence[str]) -> list[str]:
    return ["docker", "inspect", "--format", "{{.HostConfig.Memory}}", *container_ids]


def image_folder() -> list[str]:
    return ["docker", "info", "--format", "{{.DockerRootDir}}"]


def switchover(cluster: str, leader: str, successor: str) -> list[str]:
    """Inside a PostgreSQL member's container."""
    return ["patronictl", "switchover", cluster, "--leader", leader, "--candidate", successor, "--force"]


def fail_over(cluster: str, successor: str) -> list[str]:
    """PostgreSQL, as `switchover`; the old leader is not asked."""
    return ["patronictl", "failover", cluster, "--candidate", successor, "--force"]


def reinit(cluster: str, member: str) -> list[str]:
    """Delete a member's data and copy the leader's; returns once it has begun."""
    return ["patronictl", "reinit", cluster, member, "--force"]


def restart_member(cluster: str, member: str) -> list[str]:
    """Restart one member's PostgreSQL, not its container."""
    return ["patronictl", "restart", cluster, member, "--force"]


def move_master() -> list[str]:
    """Inside the container of Redis's master; the last line says who is the master then, or why not."""
    return ["/config/move-master.sh"]


def logs(container_id: str, lines: int) -> list[str]:
    return ["docker", "logs", "--tail", str(lines), container_id]


def check(image: str, user: int, config: str, command: Sequence[str]) -> list[str]:
    """Run a component's own checker on a configuration, with as little around it as possible."""
    guard = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--tmpfs", "/tmp", "--tmpfs", "/run"]
    mount = ["--volume", f"{config}:/config:ro", "--user", f"{user}:{user}"]
    return [
        "docker",
        "run",
        "--rm",
        "--pull",
        "never",
        *guard,
        *mount,
        "--entrypoint",
        command[0],
        image,
        *command[1:],
    ]
