"""Rules between the values of a hook."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from ..errors import Problem
from ..schema.schema_hooks import STATES
from ..stack.model import Stack
from ..stack.model_hooks import Hook
from ..webhooks import SECRET_URLS
from ..wording import did_you_mean, listed


def hook_faults(stack: Stack) -> Iterator[Problem]:
    for index, hook in enumerate(stack.hooks):
        path = f"stack/hooks/{index}"
        yield from _one_target(hook, path)
        yield from _secrets(hook, path, stack)
        yield from _login(hook, path)
        yield from _port(hook, path)
        yield from _states(hook, path, stack)


def _one_target(hook: Hook, path: str) -> Iterator[Problem]:
    targets = [it for it in (hook.webhook, hook.webhook_secret, hook.email) if it is not None]
    if len(targets) != 1:
        problem = "names nobody to tell" if not targets else "names several to tell"
        yield Problem(path, problem, "Write one of webhook, webhook_secret and email; another hook for more")
    host = urlsplit(hook.webhook or "").hostname or ""
    if host.endswith(SECRET_URLS):
        remedy = "Declare it under stack/secrets, put it into the secrets file, and name it in webhook_secret"
        yield Problem(f"{path}/webhook", "is a secret: whoever knows it can post there", remedy)


def _states(hook: Hook, path: str, stack: Stack) -> Iterator[Problem]:
    if hook.email and hook.signing_secret:
        yield Problem(f"{path}/signing_secret", "signs what is posted, and this is e-mail", "Remove it")
    told = [it for it in hook.on if it in STATES]
    if told and hook.email:
        remedy = "Name a receiver with email in stack/components/monitoring/alerts"
        yield Problem(f"{path}/on", f"tells {listed(told)} by e-mail, which is what alerts do", remedy)
    if told and not any(it.route for it in stack.services.values()):
        remedy = f"Leave {listed(told)} out"
        yield Problem(f"{path}/on", f"tells {listed(told)}, and no service has a route", remedy)


def _port(hook: Hook, path: str) -> Iterator[Problem]:
    if hook.email and hook.email.server:
        port = int(hook.email.server.rpartition(":")[2])
        if not 0 < port < 65536:
            yield Problem(f"{path}/email/server", f"has port {port}", "Write one from 1 to 65535")


def _secrets(hook: Hook, path: str, stack: Stack) -> Iterator[Problem]:
    named = {"webhook_secret": hook.webhook_secret, "signing_secret": hook.signing_secret}
    named |= {"email/password_secret": hook.email.password_secret} if hook.email else {}
    for key, name in named.items():
        if name and name not in stack.secrets:
            remedy = f"{did_you_mean(name, stack.secrets)}Declare it under stack/secrets: {name}: {{}}"
            yield Problem(f"{path}/{key}", f"{name} is not declared", remedy)
        elif name and stack.secrets[name].generate is not None:
            remedy = f"Remove generate from stack/secrets/{name} and supply it in the secrets file"
            yield Problem(f"{path}/{key}", f"{name} is generated, so nobody else knows it", remedy)


def _login(hook: Hook, path: str) -> Iterator[Problem]:
    email = hook.email
    if email is None:
        return
    if (email.user is None) != (email.password_secret is None):
        missing = "password_secret" if email.password_secret is None else "user"
        yield Problem(f"{path}/email", f"has no {missing}", "Write both, or neither for no login")
    if email.password_secret and email.tls == "none":
        remedy = "Choose starttls or implicit"
        yield Problem(f"{path}/email/tls", "is none, which would show the password to everybody", remedy)
