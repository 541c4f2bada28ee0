#!/bin/bash
# fresh_machine.sh - proof that a bare Debian 12 is enough: a chroot with git, make and ca-certificates and nothing else, a clone of the
# committed state of this repository, then `make demo` and `make test` inside it.
#
#     sudo tests/fresh_machine.sh [FOLDER [TARGET...]]        default: build/fresh demo test
#
# Needs root, debootstrap and the network. Mirror, proxies and certificates are those of this machine's own apt. FOLDER is left behind
# for a look; it is made anew at each run. Ends with `N passed, N failed`, a target each.
set -eu
root=$(realpath -m "${1:-build/fresh}")
[ $# = 0 ] || shift
[ $# -gt 0 ] || set -- demo test
suite=bookworm
repository=$(git rev-parse --show-toplevel)

die() { echo "fresh_machine: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "needs root"
command -v debootstrap > /dev/null || die "needs debootstrap (apt-get install debootstrap)"

# The first mirror that this machine's apt uses for the suite: `deb URL suite` lines, or URIs: of a deb822 stanza with that suite.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null | awk -v suite=$suite '
    /^URIs:/ { uri = $2 }
    /^Suites:/ { for (i = 2; i <= NF; i++) if ($i == suite && uri) { print uri; exit } }
    /^deb / { for (i = 2; i < NF; i++) if ($i ~ /^[a-z]+:\/\// && $(i + 1) == suite) { print $i; exit } }')
[ -n "$mirror" ] || die "no mirror for $suite in this machine's apt sources"

release() { for m in proc dev/pts dev; do mountpoint -q "$root/$m" && umount "$root/$m"; done; return 0; }
trap release EXIT
release
rm -rf "$root"
mkdir -p "$root"

began=$(date +%s)
debootstrap --variant=minbase --include=ca-certificates,git,make "$suite" "$root" "$mirror" > "$root.log" 2>&1 ||
    { tail -n 20 "$root.log"; die "debootstrap failed; its log is $root.log"; }
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind /dev/pts "$root/dev/pts"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
apt-config dump | grep -E '^Acquire::[a-z]+::(Proxy|CaInfo|Verify|[a-zA-Z0-9.-]+::)|^Acquire::Retries' > "$root/etc/apt/apt.conf.d/90host" || true
# This machine's certificates, in case its proxies sign for the mirror.
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
echo "bare $suite: $(($(date +%s) - began)) s; packages: $(chroot "$root" dpkg-query -f '.\n' -W | wc -l)"

git clone -q --bare "$repository" "$root/srv/rudd.git"
inside() {
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 ${http_proxy:+http_proxy="$http_proxy"} \
        ${https_proxy:+https_proxy="$https_proxy"} chroot "$root" sh -c "$1" < /dev/null
}
inside 'git clone -q /srv/rudd.git /srv/rudd'

passed=0 failed=0
for target; do
    began=$(date +%s)
    if inside "cd /srv/rudd && make $target" > "$root.$target.log" 2>&1; then
        passed=$((passed + 1)); verdict=passed
    else
        failed=$((failed + 1)); verdict=FAILED
    fi
    echo "make $target: $verdict, $(($(date +%s) - began)) s"
    tail -n "$([ $verdict = passed ] && echo 6 || echo 40)" "$root.$target.log" | sed 's/^/    /'
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
