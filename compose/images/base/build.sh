#!/usr/bin/env bash
# Build the shared base image from Debian packages; no registry needed.
# usage: build.sh TAG   (environment: SLIPWAY_DEBIAN_MIRROR, SLIPWAY_DEBIAN_SECURITY_MIRROR, http_proxy)
set -euo pipefail

tag=${1:?usage: build.sh TAG}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

command -v mmdebstrap >/dev/null || { echo "mmdebstrap is missing: apt-get install mmdebstrap" >&2; exit 2; }
[ -r "$keyring" ] || { echo "$keyring is missing: apt-get install debian-archive-keyring" >&2; exit 2; }

# Without a mirror of one's own, mmdebstrap's defaults: main, updates and security.
sources=()
if [[ ${SLIPWAY_DEBIAN_MIRROR:-} ]]; then
  mirror=$SLIPWAY_DEBIAN_MIRROR security=${SLIPWAY_DEBIAN_SECURITY_MIRROR:-$SLIPWAY_DEBIAN_MIRROR-security}
  for source in "$mirror trixie" "$mirror trixie-updates" "$security trixie-security"; do
    sources+=("deb [signed-by=$keyring] $source main")
  done
fi

# curl: health checks over TLS and UNIX sockets.
# The image gets its tag only once it is whole: a download that breaks off must not leave half a base behind.
image=$(
  mmdebstrap --variant=minbase --include=ca-certificates,curl,netbase,tzdata \
    --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook="chroot \"\$1\" groupadd --gid 10001 slipway" \
    --customize-hook="chroot \"\$1\" useradd --uid 10001 --gid 10001 --home-dir / --shell /usr/sbin/nologin slipway" \
    trixie - "${sources[@]}" |
    docker import --change 'CMD ["/bin/bash"]' --change "LABEL io.slipway.image=base" -
)
docker tag "$image" "$tag"
