#!/bin/bash
# embedding.sh - compiles and runs the examples of docs/embedding.md, as a program that uses rudd
# would: against what `make install` brings, and nothing of the source tree.
#
#     tests/embedding.sh            installs from build/ into a folder of its own
#     tests/embedding.sh --system   uses what is installed on this machine
#
# <!-- file: NAME --> above a block makes it a file; <!-- run --> above a block runs it
# (tests/readme.sh).
set -eu
cd "$(dirname "$0")/.."
root=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

if [ "${1-}" = --system ]; then
    export PYTHONPATH=/usr/share/rudd/python
else
    make -s install B="${BUILD:-build}" PREFIX="$folder/usr" > "$folder/install.log" 2>&1 ||
        { cat "$folder/install.log"; exit 1; }
    export PATH="$folder/usr/bin:$PATH" LD_LIBRARY_PATH="$folder/usr/lib"
    export PKG_CONFIG_PATH="$folder/usr/lib/pkgconfig"
    export PYTHONPATH=$folder/usr/share/rudd/python
fi

mkdir "$folder/work" && cd "$folder/work"
awk '/^<!-- file: .* -->$/ { file = $3; next }
     /^```/ && !inside && file { inside = 1; next }
     /^```$/ && inside { inside = 0; file = ""; next }
     inside { print > file }' "$root/docs/embedding.md"

# A model and photos under the names of the text.
export XDG_CACHE_HOME=$folder/cache
rudd data synth -o set --classes rutilus_rutilus,esox_lucius,perca_fluviatilis \
    --per-class 8 --size 64 > /dev/null
rudd train --data set --arch rudd_nano --image-size 32 --epochs 2 --quiet --out run
cp run/model.safetensors fish.safetensors
find set -name '*.png' -o -name '*.jpg' | sort | head -4 > list
cp "$(head -1 list)" photo.jpg
mkdir photos && n=0 && while read -r file; do n=$((n + 1)); cp "$file" "photos/$n.jpg"; done < list

bash "$root/tests/readme.sh" "$root/docs/embedding.md"
