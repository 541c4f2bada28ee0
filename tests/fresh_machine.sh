#!/bin/bash
# fresh_machine.sh - proof that a bare Debian is enough: a chroot with git, make and ca-certificates and nothing else, a clone of the
# committed state of this repository, then `make demo` and `make test` inside it.
#
#     sudo tests/fresh_machine.sh [FOLDER [TARGET...]]        default: build/fresh demo test
#
# SUITE=trixie in the environment takes Debian 13. Needs root, debootstrap and the network (chroot.sh). FOLDER is left behind for a look; it is
# made anew at each run. Ends with `N passed, N failed`, a target each.
set -eu
root=$(realpath -m "${1:-build/fresh}")
[ $# = 0 ] || shift
[ $# -gt 0 ] || set -- demo test
suite=${SUITE:-bookworm}
repository=$(git rev-parse --show-toplevel)

. "$(dirname "$0")/chroot.sh"
chroot_make "$root" $suite ca-certificates,git,make
git clone -q --bare "$repository" "$root/srv/rudd.git"
inside() { chroot_run "$root" "$1"; }
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
