//! What is written, judged by the programs that know its format.
//!
//! Needs a Python with SimpleITK, nibabel, pynrrd and numpy, by the name in `SCNAS_JUDGE_PYTHON`:
//! `cargo test --release -p medvol --test judges -- --ignored`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use medvol::io::{self, Source};
use medvol::{Affine, Image, Label, LabelMap};
use ndarray::{Array3, Array4};
use serde_json::{Value, json};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// An oblique grid, its axes at right angles.
fn affine() -> Affine {
    Affine([
        [1.2, 0.72, -1.2, -20.5],
        [-0.9, 0.96, -1.6, 11.25],
        [0.0, 1.6, 1.5, 3.0],
        [0.0, 0.0, 0.0, 1.0],
    ])
}

fn entry(file: &str, voxels: &Array4<f32>, affine: Affine, like: Option<&Path>) -> Value {
    let (channels, depth, height, width) = voxels.dim();
    json!({
        "file": file,
        "shape": [channels, depth, height, width],
        "affine": affine,
        "voxels": voxels.iter().collect::<Vec<_>>(),
        "like": like,
    })
}

fn as_image(labels: &Array3<u16>) -> Array4<f32> {
    labels.mapv(f32::from).insert_axis(ndarray::Axis(0))
}

/// Images of one channel and of three, and label maps, in every format but DICOM, which is written
/// only like a series.
fn write_all(folder: &Path, written: &mut Vec<Value>) {
    for ending in io::endings().filter(|ending| *ending != ".dcm") {
        for channels in [1, 3] {
            let voxels = Array4::from_shape_fn((channels, 3, 4, 5), |(c, k, j, i)| {
                (1000 * c + 100 * k + 10 * j + i) as f32 - 50.5
            });
            let image = Image { voxels, affine: affine() };
            // Each in a folder of its own: the files of a pair have two endings and one name.
            let name = format!("image{channels}{}/x{ending}", ending.replace('.', "_"));
            fs::create_dir_all(folder.join(&name).parent().unwrap()).unwrap();
            io::create(folder.join(&name)).unwrap().image(&image).unwrap();
            written.push(entry(&name, &image.voxels, affine(), None));
        }
        for largest in [255, 60_000] {
            let mut voxels =
                Array3::from_shape_fn((3, 4, 5), |(k, j, i)| (20 * k + 5 * j + i) as u16);
            voxels[[2, 3, 4]] = largest;
            let labels = LabelMap { voxels, affine: affine() };
            let name = format!("labels{largest}{}/x{ending}", ending.replace('.', "_"));
            fs::create_dir_all(folder.join(&name).parent().unwrap()).unwrap();
            io::create(folder.join(&name)).unwrap().labels(&labels).unwrap();
            written.push(entry(&name, &as_image(&labels.voxels), affine(), None));
        }
    }
}

/// A label map like every fixture: it lies where each program sees the image.
fn write_masks(folder: &Path, written: &mut Vec<Value>) {
    let fixtures =
        repository().join("crates/medvol/tests/fixtures/formats").canonicalize().unwrap();
    let text = fs::read_to_string(fixtures.join("expected.json")).unwrap();
    let expected: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    for (name, want) in &expected {
        let image = fixtures.join(name);
        let header = Source::from(&*image).open().unwrap().header().clone();
        let grid = header.grid;
        let voxels =
            Array3::from_shape_fn(grid.shape, |(k, j, i)| ((k + 2 * j + 3 * i) % 4) as u16);
        let labels = LabelMap { voxels, affine: grid.affine };
        let name = format!("mask/{name}");
        fs::create_dir_all(folder.join("mask")).unwrap();
        io::create(folder.join(&name)).unwrap().like(&header).labels(&labels).unwrap();
        let mut entry = entry(&name, &as_image(&labels.voxels), grid.affine, Some(&image));
        // What only this program reads so.
        entry["alone"] = (want["judge"] == "script").into();
        written.push(entry);
    }
}

#[test]
#[ignore = "needs python with SimpleITK, nibabel and pynrrd: SCNAS_JUDGE_PYTHON"]
fn what_is_written_is_read_by_itk_nibabel_and_pynrrd() {
    let python = std::env::var("SCNAS_JUDGE_PYTHON").expect("SCNAS_JUDGE_PYTHON");
    let folder = tempfile::tempdir().unwrap();
    let mut written = Vec::new();
    write_all(folder.path(), &mut written);
    write_masks(folder.path(), &mut written);

    let labels = [(0, "background"), (2, "left \"lung\""), (5, "heart")]
        .map(|(value, name)| Label { value, name: name.into() });
    let classes = Array3::from_shape_fn((3, 4, 5), |(k, j, i)| ((k + j + i) % 3) as u8);
    let path = folder.path().join("named.seg.nrrd");
    io::create(path).unwrap().classes(&classes, &labels, affine()).unwrap();
    let voxels = classes.mapv(|class| [0, 2, 5][usize::from(class)]);
    let mut named = entry("named.seg.nrrd", &as_image(&voxels), affine(), None);
    named["segments"] = json!({"left \"lung\"": 2, "heart": 5});
    written.push(named);

    fs::write(folder.path().join("written.json"), Value::from(written).to_string()).unwrap();
    let judged = Command::new(python)
        .arg(repository().join("scripts/judge_images.py"))
        .arg(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{said}{}", String::from_utf8_lossy(&judged.stderr));
    println!("{said}");
}
