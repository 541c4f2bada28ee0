# chroot.sh - bare Debian systems in folders, for scripts that try rudd on a fresh machine. Sourced,
# by root.
#
#     chroot_make FOLDER SUITE PACKAGES     a system of debootstrap's smallest kind, made anew, with
#                                           these packages (with commas between)
#     chroot_run FOLDER COMMAND             runs a line of sh in it, with nothing of this shell's
#                                           environment but proxies
#
# Mirror, proxies and certificates are those of this machine's own apt. What is mounted is let go when
# the script ends; FOLDER stays.

chroot_folders=
chroot_release() {
    local folder m
    for folder in $chroot_folders; do
        for m in proc dev/pts dev; do mountpoint -q "$folder/$m" && umount "$folder/$m"; done
    done
    return 0
}
trap chroot_release EXIT

chroot_die() { echo "${0##*/}: $*" >&2; exit 1; }

# The first mirror that this machine's apt uses: `deb URL suite` lines, or URIs: of a deb822 stanza.
# One for the suite itself is preferred; a mirror has the other suites, too.
chroot_mirror() { # suite
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2> /dev/null | awk -v suite="$1" '
        /^URIs:/ { uri = $2; if (!any) any = uri }
        /^Suites:/ { for (i = 2; i <= NF; i++) if ($i == suite && uri) { print uri; found = 1; exit } }
        /^deb / { for (i = 2; i < NF; i++) if ($i ~ /^[a-z]+:\/\//) { if (!any) any = $i
                                                                     if ($(i + 1) == suite) { print $i; found = 1; exit } } }
        END { if (!found && any) print any }'
}

chroot_make() { # folder, suite, packages
    local folder=$1 suite=$2 packages=$3 mirror began
    [ "$(id -u)" = 0 ] || chroot_die "needs root"
    command -v debootstrap > /dev/null || chroot_die "needs debootstrap (apt-get install debootstrap)"
    mirror=$(chroot_mirror "$suite")
    [ -n "$mirror" ] || chroot_die "no mirror in this machine's apt sources"
    chroot_folders="$chroot_folders $folder"
    chroot_release
    rm -rf "$folder"
    mkdir -p "$folder"
    began=$(date +%s)
    debootstrap --variant=minbase --include="$packages" "$suite" "$folder" "$mirror" > "$folder.log" 2>&1 ||
        { tail -n 20 "$folder.log"; chroot_die "debootstrap failed; its log is $folder.log"; }
    mount -t proc proc "$folder/proc"
    mount --bind /dev "$folder/dev"
    mount --bind /dev/pts "$folder/dev/pts"
    cp /etc/resolv.conf /etc/hosts "$folder/etc/"
    apt-config dump | grep -E '^Acquire::[a-z]+::(Proxy|CaInfo|Verify|[a-zA-Z0-9.-]+::)|^Acquire::Retries' > "$folder/etc/apt/apt.conf.d/90host" || true
    # This machine's certificates, in case its proxies sign for the mirror.
    mkdir -p "$folder/etc/ssl/certs"
    cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt"
    echo "bare $suite: $(($(date +%s) - began)) s; packages: $(chroot "$folder" dpkg-query -f '.\n' -W | wc -l)"
}

chroot_run() { # folder, command
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive ${http_proxy:+http_proxy="$http_proxy"} \
        ${https_proxy:+https_proxy="$https_proxy"} chroot "$1" sh -c "$2" < /dev/null
}
