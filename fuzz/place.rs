//! Where the files of an input lie, and what is done with an image.

use std::path::{Path, PathBuf};

use medvol::LabelMap;
use medvol::io::{Opened, Source, create};

/// Voxels of what is read whole: more takes time, and finds nothing more.
const MOST: u64 = 1 << 16;

/// A folder, with `mask` in it for what is written, in memory where the system has such: elsewhere
/// most of the time would be spent on files.
pub fn folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let within = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let folder = tempfile::Builder::new().tempdir_in(within).expect("a folder").keep();
    std::fs::create_dir(folder.join("mask")).expect("a folder for masks");
    folder
}

/// Writes a file of an input.
pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("room for a temporary file");
}

/// Reads an image in one of the ways there are, which the input says: as an image and as labels, which
/// must agree; as raw voxels; as labels, of which a map is written that is to lie on it, by the name
/// `mask`; as an image. Each may fail, but only by an error. `bytes` are those of the input.
pub fn read(path: &Path, mask: &Path, bytes: &[u8]) {
    let open = || Source::from(path).open();
    let Ok(opened) = open() else { return };
    let header = opened.header().clone();
    let grid = header.grid;
    if grid.voxels() > MOST {
        return;
    }
    match crc32fast::hash(bytes) >> 16 & 3 {
        0 => {
            let (Ok(image), Ok(labels)) = (opened.image(), open().and_then(Opened::labels)) else {
                return;
            };
            let [channels, sizes @ ..] = <[usize; 4]>::from(image.voxels.dim());
            assert_eq!((channels, sizes), (grid.channels, grid.shape));
            let same = |(&value, &label): (&f32, &u16)| (value - f32::from(label)).abs() < 0.01;
            assert!(image.voxels.iter().zip(&labels.voxels).all(same), "other labels than values");
        }
        1 => drop(opened.raw()),
        2 => {
            let Ok(LabelMap { voxels, .. }) = opened.labels() else { return };
            let labels = LabelMap { voxels, affine: grid.affine };
            if create(mask).and_then(|file| file.like(&header).labels(&labels)).is_ok() {
                let again = Source::from(mask).open().and_then(Opened::labels);
                assert_eq!(again.expect("what was written").voxels, labels.voxels);
            }
        }
        _ => drop(opened.image()),
    }
}
