//! Real images, where they are at hand: the environment variable `SCNAS_TEST_DATA` names a folder
//! that holds Decathlon tasks.

use std::path::PathBuf;
use std::time::Instant;

use medvol::io::{self, Source};
use medvol::{Dataset, canonical_spacing, median_spacing, preprocess};
use ndarray::Array4;
use rayon::prelude::*;

fn task(name: &str) -> Option<Dataset> {
    let Some(folder) = std::env::var_os("SCNAS_TEST_DATA") else {
        eprintln!("skipped: SCNAS_TEST_DATA is not set");
        return None;
    };
    let folder = PathBuf::from(folder).join(name);
    if !folder.is_dir() {
        eprintln!("skipped: there is no folder {}", folder.display());
        return None;
    }
    Some(Dataset::open(folder).unwrap())
}

#[test]
fn every_hippocampus_label_map_comes_back_from_preprocessing_and_from_disk() {
    let Some(dataset) = task("Task04_Hippocampus") else { return };
    assert!(!dataset.cases.is_empty());
    let start = Instant::now();
    let spacings: Vec<_> = dataset
        .cases
        .iter()
        .map(|case| canonical_spacing(&io::open(&case.images).unwrap().grid().affine))
        .collect();
    let spacing = median_spacing(spacings).unwrap();
    assert_eq!(spacing, [1.0, 1.0, 1.0]);
    println!("headers: {:?}", start.elapsed());

    let start = Instant::now();
    let cases: Vec<_> = dataset
        .cases
        .par_iter()
        .map(|files| {
            let (image, labels) = dataset.load(files).unwrap();
            let labels = labels.unwrap();
            (
                preprocess(&files.name, &image, Some(&labels), &dataset.labels, spacing).unwrap(),
                labels,
            )
        })
        .collect();
    println!("read and preprocessed {} cases: {:?}", cases.len(), start.elapsed());

    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    cases.par_iter().for_each(|(case, labels)| {
        let classes = case.classes.as_ref().unwrap();
        let (depth, height, width) = classes.dim();
        let shape = (dataset.labels.len(), depth, height, width);
        let scores = Array4::from_shape_fn(shape, |(c, k, j, i)| {
            f32::from(u8::from(usize::from(classes[[k, j, i]]) == c))
        });
        let restored = case.geometry.restore_labels(&scores, &dataset.labels).unwrap();
        assert_eq!(restored, *labels, "{}", case.name);
        let path = folder.path().join(format!("{}.nii.gz", case.name));
        io::create(&path).unwrap().labels(&restored).unwrap();
        assert_eq!(Source::from(&path).open().unwrap().labels().unwrap(), *labels, "{}", case.name);
    });
    println!("restored, written and read: {:?}", start.elapsed());
}
