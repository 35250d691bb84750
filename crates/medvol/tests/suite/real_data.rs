//! Real images, for those who have them.

use std::time::Instant;

use crate::common::{read_labels, real_task, write_labels};
use medvol::{Dataset, canonical_spacing, io, median_spacing, preprocess};
use ndarray::Array4;
use rayon::prelude::*;

#[test]
#[ignore = "needs SCNAS_TEST_DATA, a folder with the Decathlon's Task04_Hippocampus"]
fn every_hippocampus_label_map_comes_back_from_preprocessing_and_from_disk() {
    let dataset = Dataset::open(real_task("Task04_Hippocampus")).unwrap();
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
                preprocess(&files.name, &image, Some(&labels), &dataset.class_map(), spacing, &[])
                    .unwrap(),
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
        write_labels(&path, &restored).unwrap();
        assert_eq!(read_labels(&path).unwrap(), *labels, "{}", case.name);
    });
    println!("restored, written and read: {:?}", start.elapsed());
}
