#!/bin/sh
# Checks bge-fast on a machine with an NVIDIA GPU and prints Markdown: what agrees, how fast it is, which errors appear.
#
#   tests/gpu/run.sh MODEL_FOLDER [options of check.py]
#
# MODEL_FOLDER is one that bge-fast-export wrote with fp32 and fp16 graphs. No network is used.
#
# The machine needs Linux on x86-64, an NVIDIA driver for CUDA 13, Python 3.11 or newer with numpy, and
#   bge-fast          installed for $PYTHON, or as a wheel:      BGE_FAST_WHEEL=path/to/bge_fast-….whl
#   onnxruntime-gpu   installed for $PYTHON, or as a folder:     ORT_CAPI_DIR=path/to/onnxruntime/capi
#                     with libonnxruntime.so.1.*, libonnxruntime_providers_shared.so, libonnxruntime_providers_cuda.so
#   CUDA 13, cuDNN 9  as nvidia-* packages of $PYTHON's own site-packages, or anywhere in LD_LIBRARY_PATH:
#                     libcudart.so.13 libcublasLt.so.13 libcublas.so.13 libcurand.so.10, and libcudnn.so.9 for speed
# `pip install "bge-fast[gpu]"` brings all of them but the driver.
#
# Ends with status 0 if everything agreed, 1 if something did not, 2 if there was no GPU to check.
set -eu

python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ $# -lt 1 ]; then
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 2
fi

if [ -n "${BGE_FAST_WHEEL:-}" ]; then
    "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target "$work/site" "$BGE_FAST_WHEEL"
    PYTHONPATH=$work/site${PYTHONPATH:+:$PYTHONPATH}
fi
if [ -n "${ORT_CAPI_DIR:-}" ]; then
    # bge-fast looks for the libraries in the package `onnxruntime`; an empty one around the folder will do.
    mkdir -p "$work/ort/onnxruntime"
    : > "$work/ort/onnxruntime/__init__.py"
    ln -s "$(cd "$ORT_CAPI_DIR" && pwd)" "$work/ort/onnxruntime/capi"
    PYTHONPATH=$work/ort${PYTHONPATH:+:$PYTHONPATH}
fi
export PYTHONPATH="${PYTHONPATH:-}"
"$python" "$here/check.py" "$@"
