#!/usr/bin/env bash
# `make gpu-check`: on a machine with an NVIDIA card, builds the language model for it, has the graphs computed there, and prints what a
# caller waits for the engines with 1, 10, 50 and 200 calls at once. The models are those of the configuration that MILO_CONFIG names, else
# those that ship, which are too small for a card to be worth it.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "gpu-check: $*" >&2; exit 1; }

command -v nvidia-smi >/dev/null || fail "there is no NVIDIA driver (nvidia-smi): not measured."
command -v nvcc >/dev/null || fail "the CUDA toolkit is not there (nvcc): llama.cpp is built with it. Not measured."
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv

deploy/setup.sh run
# The library that computes on cards, of the release that setup.sh fetches for the processor, and what of CUDA and cuDNN it loads, in the
# versions that it names itself.
version="$(sed -n 's/^ort_version=//p' deploy/setup.sh)"
[ -n "$version" ] || fail "deploy/setup.sh does not say which ONNX Runtime Milo runs on (ort_version)."
python="${XDG_CACHE_HOME:-$HOME/.cache}/milo/gpu-$version"
if [ ! -x "$python/bin/python" ]; then
  python3 -m venv "$python"
fi
"$python/bin/pip" install --quiet "onnxruntime-gpu[cuda,cudnn]==$version" \
  || fail "onnxruntime-gpu $version could not be fetched from the Python package index: is it reachable?"
site="$("$python/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
library="$site/onnxruntime/capi/libonnxruntime.so.$version"
[ -f "$library" ] || fail "$library is not there: the wheel of onnxruntime-gpu $version is another than this was written for."
LD_LIBRARY_PATH="$(find "$site/nvidia" -type d -name lib -printf '%p:')${LD_LIBRARY_PATH:-}"
export LD_LIBRARY_PATH MILO__ENGINES__ONNXRUNTIME="$library"
export MILO__ENGINES__DEVICE="${DEVICE:-cuda}" MILO__ENGINES__LLM__GPU_LAYERS="${GPU_LAYERS:-999}"

cargo build --release --features cuda --bin milo
exec "${CARGO_TARGET_DIR:-target}/release/milo" bench engines --configured ${MILO_CONFIG:+--config "$MILO_CONFIG"}
