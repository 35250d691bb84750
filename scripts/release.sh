#!/usr/bin/env bash
# Makes an archive of scnas that runs on any Linux of this processor, without Rust and without libraries, and tries it in an empty root:
#
#   scripts/release.sh [FOLDER]      default: target/archive
#
# In it: the program, linked statically and stripped; completions and manual pages; licences of all that is inside; a bill of materials. Beside it:
# the symbols, and checksums. Needs what building scnas needs, the C library as an archive (Debian: libc6-dev), binutils and python3.
set -euo pipefail
cd "$(dirname "$0")/.."

target="$(rustc -vV | sed -n 's/^host: //p')"
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
folder="${1:-target/archive}"
name="scnas-$version-$target"
inside="$folder/$name"
rm -rf "$inside"
mkdir -p "$inside/man"

# With --target, as macros of the build itself cannot be linked statically.
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked -p scnas-cli --target "$target"
built="target/$target/release/scnas"
objcopy --only-keep-debug "$built" "$folder/$name.symbols"
strip -o "$inside/scnas" "$built"

if readelf --dynamic "$inside/scnas" | grep --quiet NEEDED; then
  echo "expected a program that needs no libraries" >&2
  exit 1
fi
# The C library's own allocator makes a step several times slower.
if ! MIMALLOC_VERBOSE=1 "$inside/scnas" --version 2>&1 | grep --quiet mimalloc; then
  echo "expected mimalloc as the allocator" >&2
  exit 1
fi

"$inside/scnas" generate man "$inside/man"
for shell in bash zsh fish; do "$inside/scnas" generate completions "$shell" >"$inside/scnas.$shell"; done
cp README.md CHANGELOG.md LICENSE-APACHE LICENSE-MIT "$inside"
scripts/bill_of_materials.py "$target" "$inside"

empty="$(mktemp -d)"
trap 'rm -rf "$empty"' EXIT
cp "$inside/scnas" "$empty"
unshare --map-root-user chroot "$empty" /scnas demo --quiet

# The same archive from the same program: names in order, no times, nobody's own.
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$folder" -c "$name" | gzip -9n >"$folder/$name.tar.gz"
(cd "$folder" && sha256sum "$name.tar.gz" "$name.symbols" >SHA256SUMS)
ls -l "$folder"
