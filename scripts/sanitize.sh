#!/usr/bin/env bash
# The kernels' tests in a debug build, and under AddressSanitizer for each instruction set of this machine: reading or writing out of bounds
# ends the run. All unsafe code of scnas but the allocator's is in the kernels, so they are built alone, without Burn; it takes some minutes. The sanitizer needs
# a nightly toolchain: rustup toolchain install nightly && RUSTUP_TOOLCHAIN=nightly scripts/sanitize.sh
set -euo pipefail
volops=$(cd "$(dirname "$0")/../crates/volops" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/src" "$work/tests"
echo "#[path = \"$volops/src/kernel/mod.rs\"] pub mod kernel;" > "$work/src/lib.rs"
for part in bits kernel_conv memory_bound values winograd; do
  echo "#[path = \"$volops/tests/suite/$part.rs\"] mod $part;"
done > "$work/tests/suite.rs"
{
  cat <<'TOML'
[package]
name = "volops"
version = "0.0.0"
edition = "2024"
[dependencies]
bytemuck = "1"
pulp = { version = "0.22", features = ["x86-v4"] }
rayon = "1"
[dev-dependencies]
proptest = { version = "1", default-features = false, features = ["std"] }
[profile.release]
debug-assertions = true
overflow-checks = true
TOML
} > "$work/Cargo.toml"
export CARGO_TARGET_DIR="$work/target"
tests=(cargo test --manifest-path "$work/Cargo.toml")

echo "== debug build"
"${tests[@]}" bits
host=$(rustc -vV | sed -n 's/^host: //p')
for simd in '' avx2 scalar; do
  echo "== AddressSanitizer, ${simd:-widest instruction set}"
  VOLOPS_SIMD=$simd RUSTFLAGS=-Zsanitizer=address "${tests[@]}" --release --target "$host"
done
