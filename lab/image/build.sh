#!/usr/bin/env bash
# Build the image of a lab host: what a plain Debian 13 cloud machine has, and nothing else. Needs no registry.
# usage: build.sh > root.tar   (environment: SLIPWAY_DEBIAN_MIRROR, SLIPWAY_DEBIAN_SECURITY_MIRROR)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
packages=systemd,systemd-sysv,dbus,openssh-server,sudo,python3,python3-apt,iproute2,ca-certificates,curl,netbase,tzdata

# Without a mirror of one's own, mmdebstrap's defaults: main, updates and security.
sources=()
if [[ ${SLIPWAY_DEBIAN_MIRROR:-} ]]; then
  mirror=$SLIPWAY_DEBIAN_MIRROR security=${SLIPWAY_DEBIAN_SECURITY_MIRROR:-$SLIPWAY_DEBIAN_MIRROR-security}
  for source in "$mirror trixie" "$mirror trixie-updates" "$security trixie-security"; do
    sources+=("deb [signed-by=$keyring] $source main")
  done
fi

mmdebstrap --variant=minbase --format=tar --include="$packages" \
  --aptopt='Acquire::Check-Valid-Until "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --customize-hook="$here/customize.sh \"\$1\"" \
  trixie - "${sources[@]}"
