#!/bin/sh
# peers.sh - the programs that rudd is compared with, beside the system and not in it.
#
# PyTorch, torchvision, Pillow, numpy and libheif's programs come from Debian (for /usr/bin/python3); timm, its light needs, efficientnet_pytorch, ONNX,
# ONNX Runtime, OpenVINO, scikit-learn, SciPy, Triton's client, schemathesis and Keras (over OpenVINO) come from pip into $PEERS (build/peers), unpacked without their dependencies, so that neither the system's Python packages nor
# the user's change. timm 1.0.31 runs on Debian 12's PyTorch 1.13.
#
#     tests/parity/peers.sh install              fetches what is missing; nothing happens when all is there. Where pip reaches no index
#                                                it says so in $PEERS/unreachable, and the scripts that need them are skipped
#     tests/parity/peers.sh run SCRIPT ARGS...   runs a Python script with the peers importable
#     tests/parity/peers.sh with COMMAND ARGS... runs a command whose /usr/bin/python3 finds them
set -eu
PEERS=${PEERS:-build/peers}
case $PEERS in /*) ;; *) PEERS=$PWD/$PEERS ;; esac # scripts change folders
PYTHON=/usr/bin/python3
DEBIAN='python3-torch python3-torchvision python3-pil python3-numpy python3-pip libheif-examples'
PIP='timm==1.0.31 huggingface_hub==0.23.4 safetensors==0.5.3 pyyaml==6.0.2 filelock==3.16.1 tqdm==4.67.1 packaging==24.2
     typing_extensions==4.16.0 requests==2.32.3 efficientnet_pytorch==0.7.1 onnx==1.23.2 onnxruntime==1.31.1 openvino==2026.4.1 protobuf==7.36.2
     ml_dtypes==0.5.1 flatbuffers==25.12.19 scikit-learn==1.3.2 scipy==1.10.1 joblib==1.4.2 threadpoolctl==3.5.0
     tritonclient==2.73.0 python-rapidjson==1.25 geventhttpclient==2.6.1 gevent==26.9.0 greenlet==3.3.2 zope.event==6.2 zope.interface==8.7
     brotli==1.2.1 certifi==2026.10.18 urllib3==2.8.0
     schemathesis==4.32.5 hypothesis==6.170.15 hypothesis-graphql==0.13.5 graphql-core==3.3.2 jsonschema-rs==0.60.3 harfile==0.6.0
     anyio==4.16.0 attrs==26.1.0 click==8.5.1 idna==3.20 markupsafe==3.0.4 pyrate-limiter==4.5.1 pytest==9.2.0 pluggy==1.7.0
     iniconfig==2.3.1 rich==15.0.0 pygments==2.21.0 markdown-it-py==4.3.0 mdurl==0.1.2 sortedcontainers==2.4.0
     charset_normalizer==3.5.2 werkzeug==3.1.9
     keras==3.15.1 h5py==3.16.0 optree==0.20.0 namex==0.1.0 absl-py==2.5.1'

# Installed Debian packages only: importing torch just to see whether it is there takes seconds.
missing=
for package in $DEBIAN; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done

case ${1-} in
install)
    if [ -n "$missing" ]; then
        as_root=; [ "$(id -u)" = 0 ] || as_root=sudo
        $as_root apt-get update -q -o Acquire::Retries=3
        # shellcheck disable=SC2086
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends $missing
    fi
    if [ "$(cat "$PEERS/installed" 2>/dev/null)" != "$PIP" ]; then
        rm -rf "$PEERS" && mkdir -p "$PEERS"
        # shellcheck disable=SC2086
        if PIP_ROOT_USER_ACTION=ignore $PYTHON -m pip install -q --retries 2 --disable-pip-version-check --no-deps --target "$PEERS/site" $PIP \
            > "$PEERS/pip.log" 2>&1; then
            printf %s "$PIP" > "$PEERS/installed"
        elif grep -qE 'connection broken|Could not fetch URL|Cannot connect to proxy|from versions: none' "$PEERS/pip.log"; then
            cat "$PEERS/pip.log"
            echo "pip reaches no package index: no timm, no efficientnet_pytorch" | tee "$PEERS/unreachable"
        else
            cat "$PEERS/pip.log" >&2
            exit 1
        fi
    fi
    ;;
run)
    shift
    export PEERS
    PYTHONPATH="$PEERS/site" PYTHONDONTWRITEBYTECODE=1 exec $PYTHON "$@"
    ;;
with)
    shift
    PYTHONPATH="$PEERS/site" PYTHONDONTWRITEBYTECODE=1 exec "$@"
    ;;
*)
    echo "usage: tests/parity/peers.sh install | run SCRIPT ARGS... | with COMMAND ARGS..." >&2
    exit 2
    ;;
esac
