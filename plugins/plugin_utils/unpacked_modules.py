"""Let hosts keep modules unpacked and compiled, so that a step costs them half.

Ansible sends a module and all that it imports with every call, as a zip file in a script; the host's Python
compiles some sixty files each time, 0.5 of the 0.75 s of a slow core that a call takes. Here the host is told
which package is meant. Where it has that, it runs it from /var/lib/slipway/modules; where it has not, it says
so, is sent Ansible's own script, and keeps what was in it. Whatever is not as expected here goes the usual
way (docs/decisions/0022).
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass
from typing import Any

ABSENT = "slipway_package_absent"
_FOLDER = "/var/lib/slipway/modules"
# Packages that a host keeps: what a release uses, of some versions.
_KEPT = 40
_CALL = '\n\nif __name__ == "__main__":\n    _ansiballz_main(\n'

_RUN = """\
import os, sys
folder = {folder!r}
if not os.path.isdir(folder):
    print({absent!r})
    sys.exit(0)
try:
    os.getcwd()
except OSError:
    os.chdir("/")
sys.path = [folder, *(path for path in sys.path if path not in ("", "."))]
sys.dont_write_bytecode = False
from ansible.module_utils._internal._ansiballz import _loader
_loader.run_module(
    json_params={params!r}.encode(),
    profile={profile!r},
    module_fqn={module_fqn!r},
    modlib_path=folder,
    extensions={{}},
)
"""

_KEEP = """

def _keep_and_run(folder, kept, **call):
    import base64, io, os, shutil, zipfile
    above, draft = os.path.dirname(folder), "%s.%d" % (folder, os.getpid())
    try:
        os.makedirs(above, mode=0o700, exist_ok=True)
        zipfile.ZipFile(io.BytesIO(base64.b64decode(call["zip_data"]))).extractall(draft)
        os.rename(draft, folder)
        found = sorted((os.path.join(above, name) for name in os.listdir(above)), key=os.path.getmtime)
        for old in found[:-kept]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:  # a full disk, or another call that was first: the module runs all the same
        shutil.rmtree(draft, ignore_errors=True)
    _ansiballz_main(**call)


if __name__ == "__main__":
    _keep_and_run(
folder={folder!r},
kept={kept!r},
"""


@dataclass(frozen=True)
class Package:
    """What Ansible's script for one call is made of."""

    script: str
    zip_data: str
    module_fqn: str
    profile: str
    params: str

    @property
    def folder(self) -> str:
        """Named by its content: what a host has under this name is what would be sent."""
        return f"{_FOLDER}/{hashlib.sha256(self.zip_data.encode('ascii')).hexdigest()[:20]}"

    def by_name(self) -> bytes:
        """The call of a package that the host should have; it answers ABSENT where it has not."""
        absent = f'{{"{ABSENT}": true}}'
        told = {"params": self.params, "profile": self.profile, "module_fqn": self.module_fqn}
        return _RUN.format(folder=self.folder, absent=absent, **told).encode()

    def to_keep(self) -> bytes:
        """Ansible's own script, which keeps its package on the host before it runs it."""
        above, _, arguments = self.script.rpartition(_CALL)
        return f"{above}{_KEEP.format(folder=self.folder, kept=_KEPT)}{arguments}".encode()


def package(script: bytes) -> Package | None:
    """The parts of a script that AnsiballZ made; None where it is made otherwise than is known here."""
    text = script.decode()
    _, call, arguments = text.rpartition(_CALL)
    found: dict[str, Any] = {}
    for line in arguments.splitlines():
        name, equals, value = line.partition("=")
        if equals and name in ("zip_data", "module_fqn", "profile", "params", "extensions", "rlimit_nofile"):
            found[name] = ast.literal_eval(value.removesuffix(","))
    # Debuggers, coverage and limits are Ansible's own affair.
    if not call or len(found) != 6 or found.pop("extensions") or found.pop("rlimit_nofile"):
        return None
    return Package(text, **found)
