# Copyright (c) 2026, Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Generate missing secrets and certificates. Documented in plugins/modules/stack_secrets.py."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from ansible import constants
from ansible.errors import AnsibleError
from ansible.parsing.vault import match_encrypt_secret, parse_vaulttext_envelope
from ansible.plugins.action import ActionBase

from ..module_utils._core.errors import SlipwayError
from ..plugin_utils import secrets
from ..plugin_utils.declared import Declared, declared
from ..plugin_utils.minting import Minted, complete


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        try:
            return result | self._complete(task_vars or {})
        except SlipwayError as error:
            return result | {"failed": True, "msg": str(error)}

    def _complete(self, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC)
        found = declared(task_vars, self._templar, self._loader).valid()
        minted = complete(found.document, found.stack, found.environment, now, _followed(found))
        if minted.added:
            ciphertext = self._encrypt(minted, found.secrets_file)
            if not self._task.check_mode:
                secrets.save(found.secrets_file, ciphertext)
        return _report(found, minted)

    def _encrypt(self, minted: Minted, path: Path) -> bytes:
        """Encrypt with the password the file had, or the one Ansible encrypts with."""
        vault = self._loader._vault
        identity = constants.config.get_config_value("DEFAULT_VAULT_ENCRYPT_IDENTITY")
        if path.exists():
            identity = parse_vaulttext_envelope(path.read_bytes())[3] or identity
        try:
            label, secret = match_encrypt_secret(vault.secrets or [], encrypt_vault_id=identity)
        except AnsibleError as error:
            remedy = "Run from the checkout, whose ansible.cfg names one, or give --vault-password-file"
            raise SlipwayError("there is no vault password to encrypt the secrets with", remedy) from error
        return bytes(vault.encrypt(_yaml(minted.document), secret, label))


def _followed(declared: Declared) -> secrets.Document:
    """The secrets of the site that this one begins as the standby of."""
    postgres = declared.stack.components.postgres
    other = postgres.other_site if postgres else None
    if not other or not other.follow:
        return {}
    if not (declared.other_document.get("platform") or {}).get("postgres_replication"):
        raise SlipwayError(
            f"{other.environment}, which this site follows, has no secrets yet",
            f"Make them first: ansible-playbook playbooks/secrets.yml -l {other.environment}",
        )
    return declared.other_document


def _report(declared: Declared, minted: Minted) -> dict[str, Any]:
    after = "".join(f"{line}\n" for line in minted.added)
    path = declared.secrets_path
    wanting = list(secrets.problems(minted.document, declared.stack, path))
    return {
        "changed": bool(minted.added),
        "environment": declared.environment,
        "secrets_file": path,
        "added": list(minted.added),
        "diff": {"before_header": path, "after_header": path, "before": "", "after": after},
        "warnings": [str(problem) for problem in wanting],
    }


class _Dumper(yaml.SafeDumper):
    """Writes certificates and keys as blocks, as people are used to seeing them."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _yaml(document: secrets.Document) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
