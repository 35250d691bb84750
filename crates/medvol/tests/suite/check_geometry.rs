//! The check of headers that contradict themselves, of labels that lie apart, of what a corrected
//! copy makes of them, and of single images.

use std::fs;
use std::path::Path;

use crate::common::task::{CASES, SPACING, image_path, label_path, volumes, write_task};
use crate::common::{any_affine, write_image};
use medvol::check::{Familiar, Finding, Fix, Kind, Options, Report, Severity, check, fix, look};
use medvol::io::{self, Source};
use medvol::{Affine, Dataset, Error, Image, LabelMap};
use ndarray::{Array4, s};
use proptest::prelude::*;

fn checked(root: &Path) -> Report {
    check(root, &Options::default(), |_, _| true).unwrap().unwrap()
}

/// A task whose images and label maps are not compressed, whatever their names say.
fn task() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_task(folder.path());
    for case in 0..CASES {
        let (image, labels) = volumes(case);
        let plain = folder.path().join("plain.nii");
        io::create(&plain).unwrap().image(&image).unwrap();
        fs::copy(&plain, image_path(folder.path(), case)).unwrap();
        io::create(&plain).unwrap().labels(&labels).unwrap();
        fs::rename(&plain, label_path(folder.path(), case)).unwrap();
    }
    folder
}

/// Overwrites bytes of a file.
fn patch(path: &Path, at: usize, bytes: &[u8]) {
    let mut whole = fs::read(path).unwrap();
    whole[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, whole).unwrap();
}

/// The place of the codes in a header, and of the diagonal of the sform.
const CODES: usize = 252;
const DIAGONAL: [usize; 3] = [280, 300, 320];

fn of_kind(report: &Report, kind: Kind, severity: Severity) -> Vec<&Finding> {
    let of_kind = |finding: &&Finding| finding.kind == kind && finding.severity == severity;
    report.findings.iter().filter(of_kind).collect()
}

#[test]
fn labels_with_the_affine_that_nibabel_or_itk_gives_an_image_without_codes_lie_on_it() {
    let folder = task();
    for case in 0..CASES {
        patch(&image_path(folder.path(), case), CODES, &[0; 4]);
        let mut labels = volumes(case).1;
        let [depth, height, width] = labels.shape().map(|extent| extent as f64 - 1.0);
        let [dz, dy, dx] = SPACING;
        labels.affine = match case % 2 {
            0 => Affine([
                [-dx, 0.0, 0.0, dx * width / 2.0],
                [0.0, dy, 0.0, -dy * height / 2.0],
                [0.0, 0.0, dz, -dz * depth / 2.0],
                [0.0, 0.0, 0.0, 1.0],
            ]),
            _ => Affine([
                [-dx, 0.0, 0.0, 0.0],
                [0.0, -dy, 0.0, 0.0],
                [0.0, 0.0, dz, 0.0],
                [0.0, 0.0, 0.0, 1.0],
            ]),
        };
        io::create(label_path(folder.path(), case)).unwrap().labels(&labels).unwrap();
    }
    let report = checked(folder.path());
    assert!(!report.has_errors(), "{:?}", report.findings);
    let dataset = Dataset::open(folder.path()).unwrap();
    assert!(dataset.cases.iter().all(|case| dataset.load(case).is_ok()));
}

#[test]
fn an_sform_of_another_spacing_than_pixdim_is_told_and_the_qform_is_read() {
    let folder = task();
    for case in 0..CASES {
        for path in [image_path(folder.path(), case), label_path(folder.path(), case)] {
            DIAGONAL.iter().for_each(|&at| patch(&path, at, &1_f32.to_le_bytes()));
        }
    }
    let report = checked(folder.path());
    assert!(!report.has_errors(), "{:?}", report.findings);
    let told = of_kind(&report, Kind::Geometry, Severity::Warning);
    // Of the label map the same need not be told.
    assert_eq!(told.len(), CASES);
    for said in ["imagesTr/case_", "1 x 1 x 1 mm", "3.6 x 3 x 3 mm", "qform is taken"] {
        assert!(told.iter().all(|finding| finding.message.contains(said)), "{told:?}");
    }
    let dataset = Dataset::open(folder.path()).unwrap();
    let (image, _) = dataset.load(&dataset.cases[3]).unwrap();
    let spacing = image.affine.spacing();
    assert!((0..3).all(|axis| (spacing[axis] - SPACING[axis]).abs() < 1e-5), "{spacing:?}");
}

#[test]
fn a_spacing_that_cannot_be_known_is_an_error_of_its_case_which_a_corrected_copy_leaves_out() {
    let folder = task();
    let path = image_path(folder.path(), 2);
    patch(&path, CODES, &[0, 0]);
    patch(&path, DIAGONAL[1], &1_f32.to_le_bytes());
    let report = checked(folder.path());
    let errors = of_kind(&report, Kind::Geometry, Severity::Error);
    assert_eq!(errors.iter().map(|e| e.case.as_deref()).collect::<Vec<_>>(), [Some("case_02")]);
    let dataset = Dataset::open(folder.path()).unwrap();
    let error = dataset.load(&dataset.cases[2]).unwrap_err();
    assert!(matches!(&error, Error::UncertainPlace { path: at, .. } if *at == path), "{error}");
    let copy = folder.path().join("copy");
    let fixed = fix(&report, &copy, |_| true).unwrap().unwrap();
    assert!(fixed.left_out.keys().eq(["case_02"]));
}

#[test]
fn a_label_map_that_lost_its_place_gets_all_that_the_header_of_its_image_says_of_it() {
    let folder = task();
    let (image, labels) = (image_path(folder.path(), 4), label_path(folder.path(), 4));
    // A sform in another space than the qform.
    patch(&image, CODES + 2, &[4, 0]);
    patch(&image, 292, &70_f32.to_le_bytes());
    patch(&image, 268, &33_f32.to_le_bytes());
    patch(&labels, CODES, &[0; 4]);
    let report = checked(folder.path());
    let errors = of_kind(&report, Kind::AffineMismatch, Severity::Error);
    assert_eq!(errors.iter().map(|error| error.fix).collect::<Vec<_>>(), [Some(Fix::CopyAffine)]);
    let copy = folder.path().join("copy");
    fix(&report, &copy, |_| true).unwrap().unwrap();
    assert!(!checked(&copy).has_errors());
    let map = Source::from(label_path(&copy, 4)).open().unwrap().labels().unwrap();
    let like_image = Source::from(&image).open().unwrap().header().clone();
    let (direct, plain) = (folder.path().join("direct.nii"), folder.path().join("plain.nii"));
    io::create(&direct).unwrap().like(&like_image).labels(&map).unwrap();
    let of_copy = Source::from(label_path(&copy, 4)).open().unwrap().header().clone();
    io::create(&plain).unwrap().like(&of_copy).labels(&map).unwrap();
    assert_eq!(fs::read(&direct).unwrap(), fs::read(plain).unwrap());
    assert_eq!(fs::read(direct).unwrap()[252..328], fs::read(image).unwrap()[252..328]);
}

#[test]
fn a_corrected_copy_without_a_case_to_train_with_is_refused() {
    let folder = task();
    for case in 0..CASES {
        let mut labels = volumes(case).1;
        labels.affine.0[1][3] += 25.0;
        io::create(label_path(folder.path(), case)).unwrap().labels(&labels).unwrap();
    }
    let report = checked(folder.path());
    assert_eq!(of_kind(&report, Kind::AffineMismatch, Severity::Error).len(), CASES);
    let copy = folder.path().join("copy");
    let error = fix(&report, &copy, |_| true).unwrap_err();
    // Its two test cases are sound.
    assert!(matches!(error, Error::NothingFixable { .. }), "{error}");
    assert!(!copy.exists());
}

#[test]
fn a_slice_among_volumes_and_a_volume_among_slices_are_found() {
    for is_slice in [true, false] {
        let folder = task();
        for case in (0..CASES).filter(|case| (*case == 3) == is_slice) {
            let (image, labels) = volumes(case);
            let voxels = image.voxels.slice(s![.., 9..10, .., ..]).to_owned();
            write_image(image_path(folder.path(), case), &Image { voxels, ..image }).unwrap();
            let voxels = labels.voxels.slice(s![9..10, .., ..]).to_owned();
            let writer = io::create(label_path(folder.path(), case)).unwrap();
            writer.labels(&LabelMap { voxels, ..labels }).unwrap();
        }
        let report = checked(folder.path());
        let found = of_kind(&report, Kind::Slice, Severity::Warning);
        // Its two test cases are volumes.
        let cases: Vec<_> = found.iter().filter(|f| !f.test).map(|f| f.case.as_deref()).collect();
        assert_eq!(cases, [Some("case_03")], "{found:?}");
    }
}

#[test]
fn how_far_labels_are_from_integers_is_said_in_digits_that_count() {
    let folder = task();
    let LabelMap { voxels, affine } = volumes(0).1;
    let voxels = voxels.mapv(|value| f32::from(value) * 0.9998).insert_axis(ndarray::Axis(0));
    write_image(label_path(folder.path(), 0), &Image { voxels, affine }).unwrap();
    let report = checked(folder.path());
    let errors = of_kind(&report, Kind::LabelNotInteger, Severity::Error);
    assert!(errors.len() == 1 && errors[0].message.contains("up to 0.0004 off"), "{errors:?}");
}

/// What is found in an image of 1 mm, or whatever `change` makes of it.
fn looked(change: impl FnOnce(&mut Image)) -> Vec<(Kind, String)> {
    let voxels = Array4::from_shape_fn((2, 12, 14, 16), |(c, k, j, i)| {
        ((c * 31 + k * 17 + j * 7 + i * 3) % 23) as f32
    });
    let mut image = Image { voxels, affine: Affine::IDENTITY };
    change(&mut image);
    let folder = tempfile::tempdir().unwrap();
    let source = Source::from(folder.path().join("scan.nii"));
    write_image(source.path(), &image).unwrap();
    let opened = source.open().unwrap();
    let header = opened.header().clone();
    let familiar = Familiar { spacing_mm: [1.0; 3], patch: [8; 3], normalisation: &[] };
    let found = look(&[source], &header, &opened.raw().unwrap(), familiar);
    found.into_iter().map(|finding| (finding.kind, finding.message)).collect()
}

#[test]
fn an_image_that_cannot_be_right_is_seen_without_a_data_set() {
    assert_eq!(looked(|_| {}), []);
    type Harm = fn(&mut Image);
    let cases: [(Kind, &str, Harm); 6] = [
        (Kind::ConstantImage, "all voxels are 0", |image| image.voxels.fill(0.0)),
        (Kind::ConstantImage, "all voxels are -7.5", |image| image.voxels.fill(-7.5)),
        (Kind::ConstantImage, "channel(s) [1]", |image| {
            image.voxels.slice_mut(s![1, .., .., ..]).fill(2.0)
        }),
        (Kind::OutlierIntensity, "reaches 100000", |image| image.voxels[[0, 1, 2, 3]] = 1e5),
        (Kind::ExtremeSpacing, "0.001 x 0.001 x 0.001 mm", |image| {
            image.affine = Affine::from_spacing([1e-3; 3])
        }),
        (Kind::ExtremeSpacing, "15 x 1 x 1 mm, far from", |image| {
            image.affine = Affine::from_spacing([15.0, 1.0, 1.0])
        }),
    ];
    for (kind, said, change) in cases {
        let found = looked(change);
        assert!(found.len() == 1 && found[0].0 == kind, "{said}: {found:?}");
        assert!(found[0].1.contains(said) && found[0].1.contains("scan.nii"), "{found:?}");
    }
    // How thick a single slice is says nothing, but volumes were learnt from.
    let found = looked(|image| {
        image.voxels = image.voxels.slice(s![.., ..1, .., ..]).to_owned();
        image.affine = Affine::from_spacing([500.0, 1.0, 1.0]);
    });
    assert!(found.len() == 1 && found[0].0 == Kind::Slice, "{found:?}");
    assert!(found[0].1.contains("patches of 8 voxels along z"), "{found:?}");
}

proptest! {
    #[test]
    fn of_an_image_that_is_written_by_this_program_nothing_is_said(affine in any_affine()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.nii");
        io::create(&path).unwrap().image(&Image { voxels: Array4::zeros((1, 3, 4, 5)), affine }).unwrap();
        let header = Source::from(path).open().unwrap().header().clone();
        prop_assert_eq!(header.place.remarks, []);
    }
}
