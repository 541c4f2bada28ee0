#!/bin/bash
# packages.sh - what `make install` and `make deb` bring is complete, clean, and works where it is
# installed.
#
#     tests/packages.sh
#         in this tree: install and uninstall in a folder; build the packages, twice; lintian
#     sudo tests/packages.sh --chroot [FOLDER]
#         on bare Debian (default: build/packages): one system builds the packages, another installs
#         them and runs rudd, its manual, its completion and the examples of docs/embedding.md
#
# SUITE=trixie in the environment takes Debian 13 for the chroots, which need root, debootstrap and
# the network (chroot.sh). Ends with `N passed, N failed, N skipped`.
set -u
cd "$(dirname "$0")/.." || exit 1
passed=0 failed=0 skipped=0
log=$(mktemp)

check() { # what, command...
    local what=$1
    shift
    if "$@" > "$log" 2>&1; then
        passed=$((passed + 1)); echo "ok     $what"
    else
        failed=$((failed + 1)); echo "FAILED $what"; tail -n 40 "$log" | sed 's/^/    /'
    fi
}

finish() {
    rm -rf "$log" "${folder:-}"
    echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
    [ $failed = 0 ]
    exit $?
}

# ---- in this tree --------------------------------------------------------------------------------

configuration='/etc/logrotate.d/rudd-serve
/etc/rudd/rudd-serve.conf'
files() { find "$1" ! -type d -printf '/%P\n' | sort; } # DESTDIR

# Every file in the list is there, and nothing but the list.
listed() { # DESTDIR
    local list=/usr/share/rudd/installed
    diff <({ cat "$1$list"; printf '%s\n' $list "$configuration"; } | sort) <(files "$1")
}

# A page for every command that the programs have.
paged() { # DESTDIR
    local p c
    for p in rudd rudd-bench; do
        for c in $("$1/usr/bin/$p" --help=words | sed -n 's/\tCOMMAND\t.*//p'); do
            [ -s "$1/usr/share/man/man1/$p-$c.1" ] || { echo "no page $p-$c.1"; return 1; }
        done
    done
}

only_configuration_is_left() { # DESTDIR
    diff <(echo "$configuration") <(files "$1")
}

# Twice the same bytes.
reproducible() {
    local first=$folder/first f
    mkdir -p "$first" && cp build/deb/*.deb "$first" && make -s deb || return 1
    for f in "$first"/*.deb; do cmp "$f" "build/deb/${f##*/}" || return 1; done
}

# lintian's errors and warnings; its notes do not count.
accepted() {
    lintian --allow-root build/deb/*.changes > "$folder/lintian" 2>&1
    cat "$folder/lintian"
    ! grep -q '^[EW]:' "$folder/lintian"
}

in_this_tree() {
    folder=$(mktemp -d)
    local to=$folder/there
    check "make install" make -s install DESTDIR="$to" PREFIX=/usr
    check "the list is what is there" listed "$to"
    check "a page of the manual for each command" paged "$to"
    check "the unit starts what was installed" \
        grep -q '^ExecStart=/usr/bin/rudd-serve --config /etc/rudd/rudd-serve.conf$' \
        "$to/usr/lib/systemd/system/rudd-serve.service"
    echo '# mine' >> "$to/etc/rudd/rudd-serve.conf"
    check "make install again" make -s install DESTDIR="$to" PREFIX=/usr
    check "configuration is not written over" grep -q '# mine' "$to/etc/rudd/rudd-serve.conf"
    check "make uninstall" make -s uninstall DESTDIR="$to" PREFIX=/usr
    check "configuration alone is left" only_configuration_is_left "$to"
    if ! git ls-files > /dev/null 2>&1; then
        skipped=$((skipped + 1))
        echo "skipped: make deb takes the files that git knows, and this is no clone"
        return
    elif command -v dh dpkg-buildpackage > /dev/null; then
        check "make deb" make -s deb
        check "the same packages again" reproducible
    else
        skipped=$((skipped + 1)); echo "skipped: no debhelper here"
        return
    fi
    if command -v lintian > /dev/null; then
        check "lintian" accepted
    else
        skipped=$((skipped + 1)); echo "skipped: no lintian here"
    fi
}

# ---- on bare Debian ------------------------------------------------------------------------------

complete_in_bash='. /usr/share/bash-completion/bash_completion; _completion_loader rudd 2> /dev/null || _comp_load rudd
    f=$(complete -p rudd | sed "s/.*-F \([^ ]*\).*/\1/"); COMP_WORDS=(rudd tra); COMP_CWORD=1; COMP_LINE="rudd tra"; COMP_POINT=8
    $f; [ "${COMPREPLY[*]%% *}" = train ]'
serve='rudd-serve --model fish.safetensors --listen 127.0.0.1:18080 --store none & server=$!
    n=0; until python3 -c "import urllib.request as u; u.urlopen(\"http://127.0.0.1:18080/ready\")" 2> /dev/null; do n=$((n+1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done
    kill -TERM $server; wait $server'

on_bare_debian() { # folder
    local builder=$1/builder user=$1/user suite=${SUITE:-bookworm}
    . tests/chroot.sh
    trap 'chroot_release; finish' EXIT
    inside() { chroot_run "$user" "cd /srv && $1"; }
    get() { chroot_run "$user" "apt-get install -q -y --no-install-recommends $*"; }
    mkdir -p "$1"
    chroot_make "$builder" "$suite" ca-certificates,git,make
    git clone -q --bare . "$builder/srv/rudd.git"
    chroot_run "$builder" 'git clone -q /srv/rudd.git /srv/rudd'
    check "tools for packages" chroot_run "$builder" 'apt-get update -q && apt-get install -q -y --no-install-recommends build-essential debhelper lintian'
    check "make deps" chroot_run "$builder" 'cd /srv/rudd && make -s deps'
    check "make deb" chroot_run "$builder" 'cd /srv/rudd && make -s deb'
    check "lintian" chroot_run "$builder" 'cd /srv/rudd && lintian --allow-root build/deb/*.changes > lintian; ! grep "^[EW]:" lintian && [ -e build/deb/rudd_*.changes ]'

    chroot_make "$user" "$suite" ca-certificates
    cp "$builder"/srv/rudd/build/deb/*.deb "$user/srv/"
    mkdir -p "$user/srv/rudd/docs" "$user/srv/rudd/tests"
    cp docs/embedding.md "$user/srv/rudd/docs/"
    cp tests/embedding.sh tests/readme.sh "$user/srv/rudd/tests/"
    rm -f "$user"/srv/*-dbgsym_*.deb
    check "apt-get update" inside 'apt-get update -q'
    check "apt-get install" inside 'apt-get install -q -y --no-install-recommends ./*.deb'
    check "rudd --version" inside "rudd --version | grep -q 'commit $(git -C "$builder/srv/rudd.git" rev-parse --short=12 HEAD)'"
    check "pictures, training, an answer" inside 'rudd data synth -o set --classes esox_lucius,perca_fluviatilis --per-class 12 --size 64 &&
        rudd train --data set --arch rudd_nano --image-size 32 --epochs 1 --out run && cp run/model.safetensors fish.safetensors &&
        rudd predict --model run set/test | grep -q esox_lucius'
    get man-db > "$log" 2>&1
    for page in rudd rudd-train rudd-serve rudd-bench rudd-data-check; do check "man $page" inside "man $page | grep -q ^EXAMPLES"; done
    get bash-completion fish zsh > "$log" 2>&1
    printf '%s\n' "$complete_in_bash" > "$user/srv/complete"
    check "completion in bash" inside 'bash complete'
    check "completion in fish" inside "fish -c 'complete -C \"rudd tra\"' | grep -q ^train"
    check "completion in zsh" inside "zsh -f -c 'autoload -U compinit && compinit -u -D && [ \"\$_comps[rudd]\" = _rudd ]'"
    get gcc g++ pkg-config python3 > "$log" 2>&1
    check "the examples of docs/embedding.md" inside 'bash rudd/tests/embedding.sh --system'
    check "rudd-serve answers, and drains" inside "$serve"
    get systemd > "$log" 2>&1
    check "the unit" inside 'systemd-analyze verify /lib/systemd/system/rudd-serve.service'
    check "apt-get purge" inside 'apt-get purge -q -y rudd rudd-serve librudd0 librudd-dev'
    check "nothing is left" inside '! find /etc /usr /lib /var -name "*rudd*" ! -path "/var/log/*" ! -path "/var/lib/apt/*" ! -path "/var/cache/man/*" | grep .'
}

case ${1-} in
--chroot) on_bare_debian "$(realpath -m "${2:-build/packages}")" ;;
'') in_this_tree; finish ;;
*) echo "packages.sh: found \"$1\", expected --chroot or nothing" >&2; exit 2 ;;
esac
