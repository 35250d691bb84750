#!/usr/bin/env bash
# Fuzzes readers for some seconds, without cargo-fuzz: fuzz.sh nifti|images|dicom|description|files SECONDS. Needs a nightly toolchain and a C++ compiler.
# Inputs begin with the fixtures of the tests and are kept in fuzz/corpus/TARGET; what ends a run is written to fuzz/artifacts/TARGET.
# Overflows and failed assertions end a run; AddressSanitizer is not used, as these readers have no unsafe code, and is several times slower.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1
seconds=$2
longest=2048
if [ "$target" = dicom ]; then longest=8192; fi
features=()
# Settings, models and checkpoints need Burn, which takes a quarter of an hour to build so.
if [ "$target" = files ]; then features=(--features scnas); fi
host=$(rustc -vV | sed -n 's/^host: //p')
flags=(--cfg fuzzing -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1 -Cpasses=sancov-module)
for option in level=4 inline-8bit-counters pc-table trace-compares; do
  flags+=("-Cllvm-args=-sanitizer-coverage-$option")
done
RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-nightly} RUSTFLAGS="${flags[*]}" \
  cargo build --release --manifest-path fuzz/Cargo.toml --target "$host" --bin "$target" "${features[@]}"

fixtures=crates/medvol/tests/fixtures
corpus=fuzz/corpus/$target
artifacts=fuzz/artifacts/$target
mkdir -p "$corpus" "$artifacts"

# An input of `images`: a byte that says the format, the header, the voxels of another file.
image() {
  local which=$1 header=$2 voxels=${3:-}
  { printf "\\x0$which"; cat "$header"; if [ -n "$voxels" ]; then cat "$voxels"; fi; } > "$corpus/seed-$(basename "$header")"
}
case $target in
  nifti)
    for file in "$fixtures"/*.nii; do cp "$file" "$corpus/seed-$(basename "$file")"; done
    for file in "$fixtures"/*.nii.gz; do gzip -dc "$file" > "$corpus/seed-$(basename "$file" .gz)"; done ;;
  images)
    formats=$fixtures/formats
    for file in "$formats"/*.nrrd; do image "$([[ $file == *.seg.nrrd ]] && echo 2 || echo 0)" "$file"; done
    for file in "$formats"/*.nhdr; do image 1 "$file" <(printf '\0'; cat "$formats/apart.raw"); done
    for file in "$formats"/*.mha; do image 3 "$file"; done
    for file in "$formats"/*.mhd; do image 4 "$file" <(printf '\0'; cat "$formats/apart.raw"); done
    for file in "$formats"/*.nii; do image 5 "$file"; done
    for file in "$formats"/*.hdr; do image 6 "$file" "${file%.hdr}.img"; done
    # Voxels are looked for under one name.
    sed -i 's/[A-Za-z0-9_]*\.z*raw/x.raw/' "$corpus"/seed-*.nhdr "$corpus"/seed-*.mhd ;;
  dicom)
    find "$fixtures/dicom" -type f -size -8k ! -name '*.json' ! -name '*.py' | while read -r file; do
      cp "$file" "$corpus/seed-$(echo "${file#"$fixtures"/dicom/}" | tr / -)"
    done ;;
  description)
    seed() { printf "\\x0$1%s" "$3" > "$corpus/seed-$2"; }
    what='"channel_names": {"0": "CT", "1": "T1"}, "labels": {"background": 0, "organ": [1, 2], "core": 2, "ignore": 3}'
    seed 0 nnunet "{$what, \"regions_class_order\": [1, 2], \"file_ending\": \".nii.gz\", \"numTraining\": 2}"
    seed 0 mapping "{$what, \"dataset\": {\"a\": {\"images\": [\"imagesTr/a.nii.gz\"], \"label\": \"labelsTr/a.nii.gz\"}}}"
    seed 0 decathlon '{"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "organ"}, "numTraining": 1, "training":
      [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}], "test": ["./imagesTs/a.nii.gz"]}'
    seed 1 monai '{"training": [{"image": ["p\\ct.nii.gz", "q/ct.nii.gz"], "label": "labelsTr/b.nii", "fold": 0}],
      "validation": [{"image": "q/ct.nii.gz", "seg": "b.nii"}], "testing": [{"image": "C:\\data\\p\\ct.nii.gz"}]}'
    seed 2 table $'image_0,image_1,label,case,subject,fold\nimagesTr/a_0000.nii.gz,imagesTr/a_0001.nii.gz,labelsTr/a.nii.gz,a,p1,0\n'
    seed 2 excel $'sep=;\nimage;mask\n"p/ct.nii.gz";\n' ;;
esac
exec "fuzz/target/$host/release/$target" -artifact_prefix="$artifacts/" -max_len="$longest" -timeout=20 -rss_limit_mb=2048 \
  -max_total_time="$seconds" -print_final_stats=1 "$corpus"
