//! Where NIfTI headers place their voxels: which reading is taken of headers that nibabel and
//! SimpleITK read (`fixtures/geometry.py`), what is said of them, and that volumes lie together
//! which any usual reading puts together.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::fixture;
use medvol::io::{self, Decision, Header, Reading, Remark, Source, Weight};
use medvol::{Affine, Error, LabelMap, Result};
use ndarray::Array3;
use serde::Deserialize;

#[derive(Deserialize)]
struct Sample {
    /// In hexadecimal.
    header: String,
    nibabel: Option<[[f64; 4]; 3]>,
    itk: Option<[[f64; 4]; 3]>,
}

impl Sample {
    fn bytes(&self) -> Vec<u8> {
        let digit = |at: usize| u8::from_str_radix(&self.header[at..at + 2], 16).unwrap();
        (0..self.header.len()).step_by(2).map(digit).collect()
    }

    /// Writes it with voxels of 0, opens it and forgets it.
    fn open(&self) -> Result<Header> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.nii");
        write(&path, self.bytes());
        Ok(Source::from(path).open()?.header().clone())
    }
}

fn write(path: &Path, mut header: Vec<u8>) {
    header.resize(352 + 4 * 5 * 6, 0);
    fs::write(path, header).unwrap();
}

fn samples() -> BTreeMap<String, Sample> {
    serde_json::from_str(&fs::read_to_string(fixture("geometry.json")).unwrap()).unwrap()
}

fn affine([x, y, z]: [[f64; 4]; 3]) -> Affine {
    Affine([x, y, z, Affine::IDENTITY.0[3]])
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Read {
    /// As both programs read it.
    Both,
    Nibabel,
    Itk,
    /// As neither does.
    Own([f64; 3]),
    Refused,
}

#[test]
fn the_reading_is_taken_that_agrees_with_pixdim_and_what_is_odd_is_said() {
    use Read::{Both, Itk, Nibabel, Own, Refused};
    use Weight::{Note, Question, Warning};
    let expected = [
        ("both agree", Both, None),
        ("sform alone", Both, None),
        ("qform alone", Both, None),
        ("no unit", Both, None),
        ("mirrored by qfac", Both, None),
        (
            "sform of 1 mm",
            Itk,
            Some((Warning, "gives voxels of 1 x 1 x 1 mm, its pixdim of 3 x 2 x 1 mm")),
        ),
        ("sform of another space", Itk, Some((Warning, "the qform is taken"))),
        ("sform of 1 mm alone", Nibabel, Some((Question, "no qform says which"))),
        ("pixdim of 1 mm and sform alone", Nibabel, Some((Question, "5 x 0.7 x 0.7 mm"))),
        ("both codes 1, mirrored", Nibabel, Some((Warning, "LAS"))),
        ("codes 2 and 1, mirrored", Nibabel, Some((Warning, "LAS"))),
        ("both codes 2, moved", Nibabel, Some((Warning, "45.9 mm apart"))),
        ("codes 4 and 1, moved", Nibabel, Some((Note, "45.9 mm apart"))),
        ("sform of zeros", Itk, Some((Warning, "sform spans no space"))),
        ("sform of NaN", Itk, Some((Warning, "sform spans no space"))),
        ("sform that is flat", Itk, Some((Warning, "sform spans no space"))),
        ("sform of zeros alone", Own([3.0, 2.0, 1.0]), Some((Warning, "sform spans no space"))),
        ("quaternion of NaN", Both, Some((Warning, "no rotation"))),
        ("quaternion too long", Both, Some((Warning, "no rotation"))),
        ("qform at NaN", Both, Some((Warning, "places no voxel"))),
        ("quaternion too long alone", Own([3.0, 2.0, 1.0]), Some((Warning, "no rotation"))),
        ("neither code", Nibabel, Some((Note, "neither qform nor sform"))),
        ("neither code, pixdim of 0", Nibabel, Some((Warning, "spacing of 0 is taken as 1"))),
        ("neither code, pixdim of NaN", Refused, None),
        ("sform, pixdim of 0", Both, Some((Warning, "the spacing of the sform is taken"))),
        ("sform, pixdim of NaN", Both, Some((Warning, "the spacing of the sform is taken"))),
        ("qform, pixdim of 0", Both, Some((Warning, "spacing of 0 is taken as 1"))),
        ("qform, pixdim of NaN", Refused, None),
        ("sform, negative pixdim", Nibabel, Some((Warning, "negative"))),
        ("metres", Itk, Some((Note, "metres"))),
        ("metres, qform alone", Itk, Some((Note, "metres"))),
        ("metres, neither code", Own([3.0, 2.0, 1.0]), Some((Note, "metres"))),
        ("micrometres", Itk, Some((Note, "3 x 0.8 x 0.8 mm"))),
        ("metres with numbers of mm", Nibabel, Some((Warning, "3000 x 2000 x 1000 mm"))),
        ("metres in pixdim, mm in the sform", Nibabel, Some((Warning, "sform is in mm"))),
        ("a unit of no length", Both, Some((Warning, "unit of length is 5"))),
        ("two dimensions, pixdim[3] of 0", Nibabel, None),
        ("two dimensions, neither code", Nibabel, Some((Note, "neither qform nor sform"))),
    ];
    let samples = samples();
    assert_eq!(expected.len(), samples.len());
    for (name, read, said) in expected {
        let sample = &samples[name];
        let header = match (sample.open(), read) {
            (Err(error), Refused) => {
                assert!(matches!(error, Error::Header { .. }), "{name}: {error}");
                continue;
            }
            (opened, _) => opened.unwrap_or_else(|error| panic!("{name}: {error}")),
        };
        let near = |other: [[f64; 4]; 3]| {
            header.grid.affine.approx_eq(&affine(other), header.grid.shape, 1e-3)
        };
        let (nibabel, itk) = (sample.nibabel.is_some_and(near), sample.itk.is_some_and(near));
        let found = (nibabel, itk, header.grid.affine);
        match read {
            Both => assert!(nibabel && itk, "{name}: {found:?}"),
            Nibabel => assert!(nibabel && !itk || name.contains("mirrored"), "{name}: {found:?}"),
            Itk => assert!(itk && !nibabel, "{name}: {found:?}"),
            Own(spacing) => {
                let mm = header.grid.affine.spacing();
                assert!((0..3).all(|n| (mm[n] - spacing[n]).abs() < 1e-6), "{name}: {mm:?}");
            }
            Refused => panic!("{name}: {found:?}"),
        }
        let remarks = &header.place.remarks;
        assert_eq!(
            remarks.iter().map(Remark::weight).max(),
            said.map(|(weight, _)| weight),
            "{name}: {remarks:?}"
        );
        if let Some((weight, text)) = said {
            assert!(
                remarks.iter().any(|r| r.weight() == weight && r.to_string().contains(text)),
                "{name}: {remarks:?}"
            );
        }
    }
}

#[test]
fn a_label_map_lies_on_its_image_where_a_program_put_it_that_reads_the_image_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.nii");
    for (name, sample) in samples() {
        let Ok(image) = sample.open() else { continue };
        let shape = image.grid.shape;
        for by in [sample.nibabel, sample.itk].into_iter().flatten().map(affine) {
            let labels = |affine| {
                let map = LabelMap { voxels: Array3::zeros(shape), affine };
                io::create(&path).unwrap().labels(&map).unwrap();
                Source::from(&path).open().unwrap().header().clone()
            };
            // ITK mirrors an axis of negative spacing, makes a rotation of any quaternion, and
            // converts an origin in mm once more: nobody means that.
            let odd = ["negative", "too long alone", "mm in the sform"];
            if odd.iter().any(|odd| name.contains(odd)) {
                continue;
            }
            assert!(image.lies_on(&labels(by)) && labels(by).lies_on(&image), "{name}");
            let mut moved = by;
            moved.0[1][3] += 1.5 * by.spacing()[1];
            assert!(!image.lies_on(&labels(moved)), "{name}");
        }
    }
}

#[test]
fn an_image_of_uncertain_place_is_refused_by_those_who_compute_with_it_and_its_file_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.nii");
    write(&path, samples()["sform of 1 mm alone"].bytes());
    let open = || Source::from(&path).open().unwrap();
    let error = open().checked(1).unwrap_err();
    let Error::UncertainPlace { question, .. } = &error else { panic!("{error}") };
    let expected = Remark::OtherSpacing {
        sform_mm: [1.0; 3],
        pixdim_mm: [3.0, 2.0, 1.0],
        decision: Decision::Open,
    };
    assert_eq!(**question, expected);
    for said in
        ["image.nii", "1 x 1 x 1 mm", "3 x 2 x 1 mm", "correct the header", "sform or pixdim"]
    {
        assert!(error.to_string().contains(said), "{error}");
    }
    // Unless somebody says which is meant.
    for (reading, spacing) in [(Reading::Sform, [1.0; 3]), (Reading::Pixdim, [3.0, 2.0, 1.0])] {
        let asked = Source::from(&path).read_by(Some(reading)).open().unwrap();
        assert_eq!(asked.header().place.remarks[0].weight(), Weight::Note);
        let found = asked.checked(1).unwrap().grid().affine.spacing();
        assert!(found.iter().zip(spacing).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
    }
    let qform = Source::from(&path).read_by(Some(Reading::Qform)).open().unwrap();
    assert!(qform.checked(1).is_err(), "there is no qform");
    // To look at it, or to correct it, is another matter.
    assert!(open().image().is_ok());
}

#[test]
fn a_mask_has_the_dimensions_of_the_image_it_is_like() {
    let folder = tempfile::tempdir().unwrap();
    let (image, mask) = (folder.path().join("image.nii"), folder.path().join("mask.nii"));
    let sample = &samples()["codes 4 and 1, moved"];
    for (sizes, dimensions) in [
        ([3, 4, 5, 6, 1], 3),
        ([2, 4, 5, 1, 1], 2),
        ([4, 4, 5, 6, 1], 4),
        ([4, 4, 5, 6, 0], 4),
        ([5, 4, 5, 1, 1], 5),
    ] {
        let mut header = sample.bytes();
        for (n, size) in sizes.iter().enumerate() {
            header[40 + 2 * n..][..2].copy_from_slice(&i16::to_le_bytes(*size));
        }
        write(&image, header.clone());
        let like = Source::from(&image).open().unwrap().header().clone();
        let map = LabelMap { voxels: Array3::ones(like.grid.shape), affine: like.grid.affine };
        io::create(&mask).unwrap().like(&like).labels(&map).unwrap();
        let written = fs::read(&mask).unwrap();
        assert_eq!(i16::from_le_bytes([written[40], written[41]]), dimensions, "{sizes:?}");
        assert_eq!((&written[76..108], &written[252..328]), (&header[76..108], &header[252..328]));
        let read = Source::from(&mask).open().unwrap();
        assert_eq!(read.header().grid, like.grid);
        assert_eq!(read.labels().unwrap(), map);
    }
}

#[test]
fn the_reading_that_is_asked_for_counts_only_where_a_header_contradicts_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.nii");
    for (name, sample) in samples() {
        write(&path, sample.bytes());
        let read = |reading| Source::from(&path).read_by(reading).open().ok();
        let Some(own) = read(None) else { continue };
        let own = own.header().clone();
        let contradiction = own
            .place
            .remarks
            .iter()
            .any(|remark| matches!(remark, Remark::OtherSpacing { .. } | Remark::Apart { .. }));
        for reading in Reading::ALL {
            let asked = read(Some(reading)).unwrap().header().clone();
            if !contradiction {
                // As texts, in which numbers that are none are equal.
                let all = |header: &Header| format!("{:?} {:?}", header.grid, header.place);
                assert_eq!(all(&asked), all(&own), "{name}");
                continue;
            }
            // No reading gets lost, whichever is taken: masks of all programs lie on the image.
            let all = |header: &Header| {
                let mut all: Vec<String> = std::iter::once(&header.grid.affine)
                    .chain(&header.place.others)
                    .map(|affine| format!("{affine:?}"))
                    .collect();
                all.sort();
                all
            };
            assert_eq!(all(&asked), all(&own), "{name} {reading}");
            assert!(asked.lies_on(&own) && own.lies_on(&asked), "{name} {reading}");
        }
    }
}
