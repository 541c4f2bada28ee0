#!/bin/bash
# readme.sh - runs what README.md tells its readers to type, in order, in one shell, from the root of the repository.
#
# A block counts when the line above it is <!-- run -->:
#
#     <!-- run -->
#     ```sh
#     build/rudd inspect demo/run/model.safetensors
#     ```
#
# The first command that fails ends it. Servers that a block starts in the background are stopped at the end; they listen on a port of
# this run, not on the 8080 of the text, which something else on this machine may have.
set -u
script=$(awk '/^<!-- run -->$/ { marked = 1; next }
              marked && /^```sh$/ { inside = 1; next }
              /^```$/ { inside = 0 }
              inside { print }
              { marked = 0 }' "${1:-README.md}")
[ -n "$script" ] || { echo "readme.sh: no block marked <!-- run --> in ${1:-README.md}" >&2; exit 1; }
script=${script//:8080/:$((20000 + $$ % 10000))}
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
exec bash -eux -o pipefail -c "trap 'jobs -p | xargs -r kill' EXIT
$script"
