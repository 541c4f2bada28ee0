#!/bin/bash
# demo.sh - the main job from nothing: draw the fifteen species, learn them, prove it on pictures that training never saw.
#
# Called by `make demo`, which builds first. Everything lands in demo/. Fails when the model is right on fewer than 90 % of the held-out
# pictures. B names the build folder.
set -eu
bin=${B:-build}
began=$SECONDS
say() { printf '\n== %s\n' "$*"; }

rm -rf demo
mkdir demo

say "Drawing the fifteen species"
$bin/rudd data synth -o demo/pictures

say "Learning them from random weights"
# A drawn fish fills its picture and its proportions tell it: views that crop or stretch would hide what is to be learned.
$bin/rudd train --data demo/pictures --out demo/run --arch rudd_nano --epochs 24 --lr 3e-3 --head-lr 3e-3 --warmup-epochs 1 \
    --crop-max 0 --zoom 0.12 --shift 0.08 --rotate 8 --label-smoothing 0.05 --seed 0

say "Evaluating on held-out pictures"
$bin/rudd eval --model demo/run/model.safetensors --data demo/pictures/test --json > demo/eval.json
top1=$(sed -n 's/.*"top1": *\([0-9.]*\).*/\1/p' demo/eval.json | head -n 1)
echo "top-1 on $(find demo/pictures/test -type f | wc -l) held-out pictures: $top1"

say "Predicting three of them"
$bin/rudd predict --model demo/run/model.safetensors --top 3 \
    $(for species in esox_lucius perca_fluviatilis scardinius_erythrophthalmus; do find demo/pictures/test/$species -type f | sort | head -n 1; done)

say "Exporting: safetensors, names and layouts as PyTorch has them"
$bin/rudd export --model demo/run/model.safetensors --format safetensors -o demo/fish.safetensors

say "Done in $((SECONDS - began)) s. What next:"
cat << END
    the report, in a browser        demo/run/report.html
    the server, with a web page     $bin/rudd-serve --model demo/run       then open http://127.0.0.1:8080/
    your own photos, in a folder    $bin/rudd data check photos
    for each class                  $bin/rudd train --data photos --weights timm/tf_efficientnetv2_b0.in1k
    all commands                    $bin/rudd --help
END

awk -v top1="$top1" 'BEGIN { exit !(top1 >= 0.90) }' || { echo "demo: top-1 $top1 is below 0.90" >&2; exit 1; }
