//! What is odd and can be read is read, with a word about it; what cannot is refused for what is
//! wrong with it.

use std::fs;

use crate::common::nifti::{compressed, patch, written};
use crate::common::task::{change_description, image_path, write_task};
use medvol::check::{Familiar, Options, check, look};
use medvol::io::{Opened, Remark, Source};
use medvol::{Dataset, Error};

#[test]
fn what_follows_compressed_data_is_left_out_and_said_once_all_is_read() {
    let (_folder, path, image) = written();
    let path = compressed(&path);
    let whole = fs::read(&path).unwrap();
    let bytes = |more: &[u8]| [&whole[..], more].concat();
    for (bytes, others) in [
        (bytes(b""), false),
        (bytes(&[0; 700]), false),
        (bytes(b"garbage"), true),
        (bytes(&[0, 0, 0, b'x']), true),
        // The first byte of a further member, and both of its mark, without one.
        (bytes(&[0x1f, 7, 7]), true),
        (bytes(&[[0x1f, 0x8b, 9].as_slice(), &[0; 20]].concat()), true),
    ] {
        fs::write(&path, bytes).unwrap();
        let opened = Source::from(&path).open().unwrap();
        let afterwards = opened.afterwards();
        assert_eq!(opened.image().unwrap(), image);
        let said: Vec<Remark> = afterwards.remarks().map(|(_, remark)| remark).collect();
        let expected = if others { vec![Remark::OthersFollow] } else { Vec::new() };
        assert_eq!(said, expected);
        for read in [|o: Opened| o.raw().is_ok(), |o: Opened| o.labels().is_err()] {
            assert!(read(Source::from(&path).open().unwrap()));
        }
    }
    // Of a file that is cut there are not all voxels, whatever follows.
    fs::write(&path, [&whole[..whole.len() - 9], b"garbage"].concat()).unwrap();
    assert!(Source::from(&path).open().unwrap().image().is_err());
}

#[test]
fn voxels_that_no_header_announces_are_said_and_padding_is_not() {
    let (folder, path, image) = written();
    let voxels = fs::read(&path).unwrap().split_off(352);
    let header = "ObjectType = Image\nNDims = 3\nDimSize = 5 4 3\nElementType = MET_FLOAT\n\
                  ElementSpacing = 1 1 1\nElementDataFile = ";
    let said = |path: &std::path::Path, bytes: &[u8], more: usize| {
        fs::write(path, [bytes, vec![0; more].as_slice()].concat()).unwrap();
        let opened = Source::from(path).open().unwrap();
        let afterwards = opened.afterwards();
        opened.image().unwrap();
        afterwards.remarks().map(|(_, remark)| remark).collect::<Vec<Remark>>()
    };
    let nifti = fs::read(&path).unwrap();
    let attached = [format!("{header}LOCAL\n").as_bytes(), &voxels[..]].concat();
    let bytes = 4 * image.voxels.len() as u64;
    for (name, file) in [("a.nii", &nifti), ("a.mha", &attached)] {
        let path = folder.path().join(name);
        assert_eq!(said(&path, file, 4096), []);
        assert_eq!(said(&path, file, 4097), [Remark::Surplus { voxels: bytes, surplus: 4097 }]);
    }
    let data = folder.path().join("a.raw");
    fs::write(folder.path().join("a.mhd"), format!("{header}a.raw\n")).unwrap();
    fs::write(&data, [&voxels[..], &[0; 5000]].concat()).unwrap();
    let opened = Source::from(folder.path().join("a.mhd")).open().unwrap();
    let remarks: Vec<Remark> = opened.afterwards().remarks().map(|(_, remark)| remark).collect();
    assert_eq!(remarks, [Remark::Surplus { voxels: bytes, surplus: 5000 }]);

    // Compressed, in a file or beside it.
    let gzip = |bytes: &[u8]| {
        let file = folder.path().join("bytes");
        fs::write(&file, bytes).unwrap();
        fs::read(compressed(&file)).unwrap()
    };
    let nrrd =
        "NRRD0004\ntype: float\ndimension: 3\nsizes: 5 4 3\nendian: little\nencoding: gzip\n\n";
    let header = format!("CompressedData = True\n{header}");
    for (name, header, beside) in [
        ("a.nrrd", nrrd.to_owned(), false),
        ("b.mha", format!("{header}LOCAL\n"), false),
        ("b.mhd", format!("{header}b.zraw\n"), true),
    ] {
        for (more, expected) in [(4096, None), (4097, Some(4097))] {
            let path = folder.path().join(name);
            let data = gzip(&[&voxels[..], &vec![0; more]].concat());
            let remarks = if beside {
                fs::write(folder.path().join("b.zraw"), data).unwrap();
                said(&path, header.as_bytes(), 0)
            } else {
                said(&path, &[header.as_bytes(), &data].concat(), 0)
            };
            let surplus = expected.map(|surplus| Remark::Surplus { voxels: bytes, surplus });
            assert_eq!(remarks, surplus.into_iter().collect::<Vec<_>>(), "{name}");
        }
    }
}

#[test]
fn directions_that_are_no_unit_vectors_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.mha");
    let remarks = |matrix: &str| {
        let header = format!(
            "ObjectType = Image\nNDims = 3\nDimSize = 1 1 2\nTransformMatrix = {matrix}\n\
             ElementSpacing = 1 2 3\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n.."
        );
        fs::write(&path, header).unwrap();
        Source::from(&path).open().unwrap().header().place.remarks.clone()
    };
    assert_eq!(remarks("0 1 0 -1.0001 0 0 0 0 1"), []);
    let expected =
        Remark::LongDirections { matrix_mm: [3.0, 4.0, 1.0], spacing_mm: [3.0, 2.0, 1.0] };
    assert_eq!(remarks("1 0 0 0 2 0 0 0 1"), [expected]);
}

#[test]
fn numbers_beyond_those_that_are_computed_with_are_named_as_they_are() {
    let (_folder, path, _) = written();
    let voxel_of = |path: &_| match Source::from(path).open().unwrap().image() {
        Err(Error::BeyondFloats { voxel, value, .. }) => (voxel, value),
        other => panic!("{other:?}"),
    };
    // As doubles, of which only the header's type and the voxels matter.
    let mut bytes = fs::read(&path).unwrap();
    bytes[70..74].copy_from_slice(&[64, 0, 64, 0]);
    bytes.truncate(352);
    for n in 0..60 {
        let value = if n == 47 { -1e300 } else { f64::from(n) };
        bytes.extend(value.to_le_bytes());
    }
    fs::write(&path, &bytes).unwrap();
    assert_eq!(voxel_of(&path), ([0, 2, 1, 2], -1e300));
    let error = Source::from(&path).open().unwrap().checked(1).unwrap().image().unwrap_err();
    assert!(error.to_string().contains("is -1e300; expected numbers up to 3.4e38"), "{error}");

    // As short integers with a scale factor, however they are read.
    bytes[70..74].copy_from_slice(&[4, 0, 16, 0]);
    bytes[112..116].copy_from_slice(&1e36_f32.to_le_bytes());
    bytes.truncate(352);
    (0..60_i16).for_each(|n| bytes.extend((n * 10).to_le_bytes()));
    fs::write(&path, &bytes).unwrap();
    let (voxel, value) = voxel_of(&path);
    assert!(voxel == [0, 1, 3, 0] && (value / 3.5e38 - 1.0).abs() < 1e-6, "{voxel:?} {value}");
    let raw = Source::from(&path).open().unwrap().raw();
    assert!(matches!(raw, Err(Error::BeyondFloats { voxel: [0, 1, 3, 0], .. })));
}

#[test]
fn a_file_that_cannot_hold_what_its_header_announces_is_seen_before_its_voxels_are_asked_for() {
    let (_folder, path, _) = written();
    // Sizes of 32767 in space.
    patch(&path, 42, &[0xff, 0x7f, 0xff, 0x7f, 0xff, 0x7f]);
    for path in [&compressed(&path), &path] {
        let error = Source::from(path).open().unwrap().checked(1).unwrap_err();
        assert!(matches!(error, Error::Truncated { .. }), "{error}");
    }
}

#[test]
fn an_image_with_sheared_axes_is_not_predicted_in_silence() {
    let (_folder, path, _) = written();
    // Without a qform, and the second axis half along the first.
    patch(&path, 252, &[0, 0]);
    patch(&path, 284, &1.0_f32.to_le_bytes());
    patch(&path, 84, &(5.0_f32).sqrt().to_le_bytes());
    patch(&path, 292, &0.0_f32.to_le_bytes());
    let source = Source::from(&path);
    let opened = source.open().unwrap();
    let header = opened.header().clone();
    let familiar = Familiar { spacing_mm: [2.0; 3], patch: [8; 3], normalisation: &[] };
    let found = look(&[source], &header, &opened.raw().unwrap(), familiar);
    let said: Vec<&str> = found.iter().map(|finding| finding.message.as_str()).collect();
    assert!(said.iter().any(|text| text.contains("not at right angles")), "{said:?}");
}

#[test]
fn words_that_are_nearly_those_of_the_ignore_label_are_said() {
    let folder = tempfile::tempdir().unwrap();
    write_task(folder.path());
    change_description(folder.path(), |json| json["labels"]["3"] = "Ignore".into());
    let dataset = Dataset::open(folder.path()).unwrap();
    assert_eq!(dataset.ignore, None);
    let [notice] = dataset.notices.as_slice() else { panic!("{:?}", dataset.notices) };
    assert!(notice.text.contains("\"Ignore\" is learnt as any other"), "{}", notice.text);
}

#[cfg(unix)]
#[test]
fn a_link_to_nowhere_is_a_missing_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    write_task(folder.path());
    let path = image_path(folder.path(), 1);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    let report = check(folder.path(), &Options::default(), |_, _| true).unwrap().unwrap();
    let said: Vec<&str> = report.findings.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(said, ["imagesTr/case_01.nii.gz is not there"]);
}
