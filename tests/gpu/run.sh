#!/bin/sh
# Proves bge-fast on a machine with an NVIDIA GPU: what agrees with the CPU, which kernels run, how fast it is beside others, which
# errors appear. Prints Markdown as it comes; the same rows lie as JSON in build/gpu/results.jsonl.
#
#   tests/gpu/run.sh [--device cuda:0] [--out FOLDER] [--models FOLDER] [--only PART,PART]
#
# Nothing else is needed: checkpoints are made. No network is used. --device cpu tries the programs themselves out.
#
# The machine needs Linux on x86-64, an NVIDIA driver for CUDA 13, Python 3.11 or newer with numpy, and
#   bge-fast          installed for $PYTHON, or as a wheel:      BGE_FAST_WHEEL=path/to/bge_fast-….whl
#   onnxruntime-gpu   installed for $PYTHON, or as a folder:     ORT_CAPI_DIR=path/to/onnxruntime/capi
#                     with libonnxruntime.so.1.*, libonnxruntime_providers_shared.so, libonnxruntime_providers_cuda.so
#   CUDA 13, cuDNN 9  as nvidia-* packages of $PYTHON's own site-packages, or anywhere in LD_LIBRARY_PATH:
#                     libcudart.so.13 libcublasLt.so.13 libcublas.so.13 libcurand.so.10, and libcudnn.so.9 for exported graphs
# `pip install "bge-fast[gpu]"` brings all of them but the driver. sentence-transformers and torch are measured where they are.
#
# Ends with status 0 if all was as it should be, 1 if something was not, 2 if there was no GPU to check.
set -eu

python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -n "${BGE_FAST_WHEEL:-}" ]; then
    "$python" -m zipfile -e "$BGE_FAST_WHEEL" "$work/site"
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
"$python" -u "$here/prove.py" "$@"
