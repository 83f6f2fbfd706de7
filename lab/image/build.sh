#!/usr/bin/env bash
# Build the image of a lab host: what a plain Debian 13 cloud machine has, and nothing else. Needs no registry.
# usage: build.sh > root.tar   (environment: SLIPWAY_DEBIAN_MIRROR, SLIPWAY_DEBIAN_SECURITY_MIRROR)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mirror=${SLIPWAY_DEBIAN_MIRROR:-http://deb.debian.org/debian}
security=${SLIPWAY_DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
packages=systemd,systemd-sysv,dbus,openssh-server,sudo,python3,python3-apt,iproute2,ca-certificates,netbase,tzdata

mmdebstrap --variant=minbase --format=tar --include="$packages" \
  --aptopt='Acquire::Check-Valid-Until "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --customize-hook="$here/customize.sh \"\$1\"" \
  trixie - \
  "deb [signed-by=$keyring] $mirror trixie main" \
  "deb [signed-by=$keyring] $mirror trixie-updates main" \
  "deb [signed-by=$keyring] $security trixie-security main"
