#!/bin/sh
# Turn a Debian root folder into a machine that waits for its keys, as a cloud image does.
set -eu

root=${1:?usage: customize.sh ROOT}

chroot "$root" useradd --uid 1000 --user-group --create-home --shell /bin/bash deploy
echo 'deploy ALL=(ALL) NOPASSWD: ALL' > "$root/etc/sudoers.d/90-cloud-user"
chmod 0440 "$root/etc/sudoers.d/90-cloud-user"

# Each host gets keys of its own; these would be the same everywhere.
rm -f "$root"/etc/ssh/ssh_host_*
: > "$root/etc/machine-id"

# A container has no hardware, no console, and must not upgrade itself in the middle of a test.
for unit in systemd-modules-load.service systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
  systemd-udev-trigger.service getty.target console-getty.service getty@.service apt-daily.timer apt-daily-upgrade.timer \
  systemd-firstboot.service modprobe@.service sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount \
  sys-fs-fuse-connections.mount ldconfig.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

# The kernel is the real machine's: its settings are not this image's business.
for file in "$root"/usr/lib/sysctl.d/*.conf; do
  ln -sf /dev/null "$root/etc/sysctl.d/${file##*/}"
done

# What cloud-init does on a real machine: SSH starts when the keys and the company's CAs have arrived.
install -d "$root/etc/systemd/system/multi-user.target.wants" "$root/etc/systemd/system/sysinit.target.wants"
cat > "$root/etc/systemd/system/seed.service" <<'UNIT'
[Unit]
Description=Wait for this host's keys and certificate authorities
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'until test -e /etc/seeded; do sleep 0.05; done'
TimeoutStartSec=120

[Install]
WantedBy=multi-user.target
UNIT
ln -sf ../seed.service "$root/etc/systemd/system/multi-user.target.wants/seed.service"
cat > "$root/etc/systemd/system/company-cas.service" <<'UNIT'
[Unit]
Description=Trust the certificate authorities that came with the keys
After=seed.service

[Service]
Type=oneshot
ExecStart=/usr/sbin/update-ca-certificates

[Install]
WantedBy=multi-user.target
UNIT
ln -sf ../company-cas.service "$root/etc/systemd/system/multi-user.target.wants/company-cas.service"

# Packages downloaded by one host are there for the next: a folder all lab hosts share, each with its own lock.
cat > "$root/etc/apt/apt.conf.d/90download-cache" <<'CONF'
APT::Keep-Downloaded-Packages "true";
Binary::apt::APT::Keep-Downloaded-Packages "true";
DPkg::Pre-Install-Pkgs { "/usr/local/sbin/apt-download-cache save"; };
CONF
cat > "$root/usr/local/sbin/apt-download-cache" <<'SCRIPT'
#!/bin/sh
# usage: apt-download-cache restore | save (file names on standard input)
shared=/var/cache/apt-shared
case $1 in
  restore)
    # An empty folder that looks new would be taken for fresh package lists.
    ls /var/lib/apt/lists/*Packages* > /dev/null 2>&1 || touch -d @0 /var/lib/apt/lists
    for file in "$shared"/*.deb; do
      test -e "$file" && ln -sf "$file" /var/cache/apt/archives/
    done
    ;;
  save)
    test -d "$shared" || exit 0
    while read -r file; do
      name=${file##*/}
      test -e "$shared/$name" || { cp "$file" "$shared/.$name.$$.$(hostname)" && mv "$shared/.$name.$$.$(hostname)" "$shared/$name"; }
    done
    ;;
esac
exit 0
SCRIPT
chmod 0755 "$root/usr/local/sbin/apt-download-cache"
cat > "$root/etc/systemd/system/apt-download-cache.service" <<'UNIT'
[Unit]
Description=Take over packages that other hosts have downloaded, and ask for new package lists
Before=ssh.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/apt-download-cache restore
UNIT
ln -sf ../apt-download-cache.service "$root/etc/systemd/system/multi-user.target.wants/apt-download-cache.service"
