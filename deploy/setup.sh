#!/usr/bin/env bash
# Installs what Milo needs to build and run (`setup.sh run`) or to be tested as well (`setup.sh test`).
# A second call finds everything in place and says nothing. Without root or sudo it says what to install and stops.
set -euo pipefail

purpose="${1:-run}"
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# package → why it is needed
declare -A why=(
  [g++]="compiles llama.cpp"
  [cmake]="configures llama.cpp"
  [clang]="reads llama.cpp's headers for the bindings"
  [libclang-dev]="reads llama.cpp's headers for the bindings"
  [pkg-config]="finds espeak-ng and Opus"
  [libopus-dev]="the Opus codec"
  [libespeak-ng-dev]="the voice"
  [espeak-ng-data]="the voice's phonemes"
  [nodejs]="builds the web application"
  [npm]="fetches the libraries that the web application is built of"
)
packages=(g++ cmake clang libclang-dev pkg-config libopus-dev libespeak-ng-dev espeak-ng-data)
if [ "$purpose" = test ]; then
  why+=([sip-tester]="sipp, a SIP caller we did not write" [postgresql]="the call log's tests run on a real Postgres"
        [baresip-core]="a softphone we did not write" [linphone-cli]="another, with Opus and TCP of its own"
        [iproute2]="network namespaces for hostile messages"
        [ffmpeg]="makes the sound files that tests read, and reads the recordings that Milo makes"
        [kamailio]="a SIP proxy we did not write, in front of Milo" [tcpdump]="reads the captures that Milo makes"
        [coturn]="the TURN server that browsers behind NATs need, with credentials that end"
        [redis-server]="what several Milos share, stopped and started by tests"
        [curl]="an HTTP client we did not write" [chromium]="looks at the first page"
        [prometheus]="draws the dashboards and judges the alerts that Milo ships")
  packages+=(sip-tester postgresql baresip-core kamailio coturn iproute2 curl ffmpeg tcpdump prometheus redis-server)
  # Ubuntu has Chromium as a snap only, which a bare machine cannot run, and linphonec not in every release: the two scenarios
  # then say so.
  if . /etc/os-release && [ "${ID:-}" = debian ]; then packages+=(chromium linphone-cli); fi
fi

# Rust itself is the one thing that is asked for beforehand.
command -v cargo >/dev/null || fail "Rust is missing: install it with rustup (https://rustup.rs), then run this again."
have="$(cargo --version | sed -E 's/^cargo ([0-9]+)\.([0-9]+).*/\1 \2/')"
read -r major minor <<<"$have"
if [ "$major" -lt 1 ] || { [ "$major" -eq 1 ] && [ "$minor" -lt 94 ]; }; then
  fail "Rust $major.$minor is too old, Milo needs 1.94 or newer: run 'rustup update stable'."
fi
if [ "$purpose" = test ]; then
  cargo fmt --version >/dev/null 2>&1 || fail "rustfmt is missing: run 'rustup component add rustfmt'."
  cargo clippy --version >/dev/null 2>&1 || fail "clippy is missing: run 'rustup component add clippy'."
fi

command -v dpkg-query >/dev/null || fail "this is not Debian or Ubuntu; install these by hand, then build with cargo: ${packages[*]}"
installed() { dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'; }
python_has_pip() { python3 -m pip --version >/dev/null 2>&1; }

# ONNX Runtime comes out of its wheel on PyPI, by name and checksum; only the library is kept.
ort_version=1.31.1
[ -n "${XDG_CACHE_HOME:-}${HOME:-}" ] || fail "HOME is not set, so there is no place for ONNX Runtime: set HOME or XDG_CACHE_HOME."
cache="${XDG_CACHE_HOME:-${HOME:-}/.cache}/milo"
ort="$cache/onnxruntime-$ort_version/libonnxruntime.so.$ort_version"
case "$(uname -m)" in
  x86_64) platform=manylinux_2_28_x86_64 wheel_sha=1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536 ort_sha=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3 ;;
  aarch64) platform=manylinux_2_28_aarch64 wheel_sha=0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc ort_sha=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467 ;;
  *) fail "there is no ONNX Runtime wheel for $(uname -m); x86_64 and aarch64 are supported." ;;
esac
ort_in_place() { [ -f "$ort" ] && echo "$ort_sha  $ort" | sha256sum --check --status; }

# The web application is built by Node 18 or newer, from wherever it is.
node_in_place() { command -v npm >/dev/null && node -e 'process.exit(+(process.versions.node.split(".")[0] < 18))' 2>/dev/null; }
node_in_place || packages+=(nodejs npm)

missing=()
for package in "${packages[@]}"; do installed "$package" || missing+=("$package"); done
if { ! ort_in_place || [ "$purpose" = test ]; } && ! python_has_pip; then
  missing+=(python3-pip)
  why[python3-pip]="fetches the ONNX Runtime wheel, and clients for the tests (no environment is made)"
fi

if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" -eq 0 ]; then as_root=()
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then as_root=(sudo)
  else fail "these packages are missing and this user may not install them; as root, run:
  apt-get install --yes --no-install-recommends ${missing[*]}"
  fi
  echo "setup: installing"
  for package in "${missing[@]}"; do printf '  %-18s %s\n' "$package" "${why[$package]}"; done
  "${as_root[@]}" apt-get update --quiet=2 || fail "'apt-get update' failed: see its words above."
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends "${missing[@]}" >/dev/null \
    || fail "apt-get could not install: ${missing[*]}"
  # A proxy that only tests need shall not take the port that Milo listens on, nor the others serve strangers.
  for service in kamailio coturn prometheus redis-server; do
    if [[ " ${missing[*]} " == *" $service "* ]] && [ -d /run/systemd/system ]; then
      "${as_root[@]}" systemctl disable --now --quiet "$service" || true
    fi
  done
fi

if ! ort_in_place; then
  echo "setup: fetching ONNX Runtime $ort_version (29 MB) into $cache"
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  python3 -m pip --quiet download --no-deps --no-cache-dir --only-binary=:all: --python-version 3.12 --implementation cp \
    --platform "$platform" --dest "$work" "onnxruntime==$ort_version" >/dev/null \
    || fail "the onnxruntime $ort_version wheel could not be fetched from the Python package index: is it reachable?"
  wheel="$(echo "$work"/onnxruntime-*.whl)"
  echo "$wheel_sha  $wheel" | sha256sum --check --status \
    || fail "the onnxruntime wheel is not the one this version of Milo was checked with (its sha256 differs)."
  python3 -m zipfile -e "$wheel" "$work/wheel"
  mkdir -p "$(dirname "$ort")"
  mv "$work/wheel/onnxruntime/capi/libonnxruntime.so.$ort_version" "$ort.new"
  mv "$ort.new" "$ort"
  ort_in_place || fail "the ONNX Runtime library at $ort is damaged (its sha256 differs); remove it and run this again."
fi

# The web application: its libraries by name and checksum (package-lock.json) from the npm registry, then its files, for cargo to
# put into the program. Neither is done again while what it is made of is the same.
node_in_place || fail "$(node --version 2>&1) is too old for the web application, which needs Node 18 or newer."
web="$(cd "$(dirname "$0")/.." && pwd)/web"
sum() { sha256sum | cut -d' ' -f1; }
wanted="$(cd "$web" && { node --version; cat package.json package-lock.json .npmrc; } | sum)"
if [ "$(cat "$web/node_modules/.milo" 2>/dev/null)" != "$wanted" ]; then
  echo "setup: fetching the web application's libraries"
  said="$(cd "$web" && npm ci --ignore-scripts --loglevel=error 2>&1)" \
    || fail "they could not be fetched from the npm registry: is it reachable?
$said"
  echo "$wanted" > "$web/node_modules/.milo"
fi
wanted="$(cd "$web" && { echo "$wanted"; find index.html vite.config.ts vite.client.config.ts public src -type f ! -name schema.d.ts -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; } | sum)"
if [ "$(cat "$web/dist/.milo" 2>/dev/null)" != "$wanted" ]; then
  echo "setup: building the web application"
  said="$(cd "$web" && npm run --silent build 2>&1)" || fail "the web application could not be built:
$said"
  echo "$wanted" > "$web/dist/.milo"
fi

# Clients that we did not write and that PyPI has: for the tests, in a folder of their own.
if [ "$purpose" = test ]; then
  clients=(openai==3.57.0 schemathesis==4.32.5 aiortc==1.16.0 numpy==2.4.6)
  folder="$cache/python"
  wanted="$(python3 --version) ${clients[*]}"
  if [ "$(cat "$folder/.milo" 2>/dev/null)" != "$wanted" ]; then
    echo "setup: fetching ${clients[*]} into $folder"
    rm -rf "$folder"
    said="$(python3 -m pip --disable-pip-version-check install --target "$folder" "${clients[@]}" 2>&1)" \
      || fail "${clients[*]} could not be fetched from the Python package index: is it reachable?
$said"
    echo "$wanted" > "$folder/.milo"
  fi
fi
