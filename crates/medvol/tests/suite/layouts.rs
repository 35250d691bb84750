//! One set of cases in four layouts is one set of cases.

use std::fs;
use std::path::Path;

use crate::common::task::{name, volumes};
use crate::common::{write_image, write_labels};
use medvol::check::{Finding, Kind, check};
use medvol::{Dataset, Image, LabelMap, io};
use ndarray::{Axis, concatenate};
use serde_json::{Value, json};

const CASES: usize = 3;

/// The channels of an image, in files of their own.
fn channels(case: usize) -> [Image; 2] {
    let (first, _) = volumes(case);
    let second = Image { voxels: first.voxels.mapv(|value| 7.0 - value), affine: first.affine };
    [first, second]
}

fn folders(root: &Path) {
    for folder in ["imagesTr", "labelsTr", "imagesTs"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
}

fn write_label_maps(root: &Path, ending: &str) {
    for case in 0..CASES {
        write_labels(root.join(format!("labelsTr/{}{ending}", name(case))), &volumes(case).1)
            .unwrap();
    }
}

/// One file a channel, `CASE_0000.nii.gz`; the last case is a test case.
fn write_channels(root: &Path, ending: &str) {
    folders(root);
    write_label_maps(root, ending);
    for case in 0..=CASES {
        let folder = if case < CASES { "imagesTr" } else { "imagesTs" };
        for (channel, image) in channels(case).iter().enumerate() {
            write_image(root.join(format!("{folder}/{}_{channel:04}{ending}", name(case))), image)
                .unwrap();
        }
    }
}

fn listed() -> Value {
    let case = |n: usize| json!({"image": format!("./imagesTr/{}.nii.gz", name(n)), "label": format!("./labelsTr/{}.nii.gz", name(n))});
    json!({
        "name": "Toy",
        "modality": {"0": "T1", "1": "T2"},
        "labels": {"0": "background", "1": "organ", "2": "nodule"},
        "training": (0..CASES).map(case).collect::<Vec<_>>(),
        "test": [format!("./imagesTs/{}.nii.gz", name(CASES))],
    })
}

fn described() -> Value {
    json!({
        "name": "Toy",
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "organ": 1, "nodule": 2},
        "numTraining": CASES,
        "file_ending": ".nii",
    })
}

fn write_json(path: impl AsRef<Path>, value: &Value) {
    fs::write(path, value.to_string()).unwrap();
}

fn decathlon(root: &Path) {
    folders(root);
    write_label_maps(root, ".nii.gz");
    for case in 0..=CASES {
        let [a, b] = channels(case);
        let both = Image {
            voxels: concatenate(Axis(0), &[a.voxels.view(), b.voxels.view()]).unwrap(),
            affine: a.affine,
        };
        let folder = if case < CASES { "imagesTr" } else { "imagesTs" };
        write_image(root.join(format!("{folder}/{}.nii.gz", name(case))), &both).unwrap();
    }
    write_json(root.join("dataset.json"), &listed());
}

fn nnunet_1(root: &Path) {
    write_channels(root, ".nii.gz");
    write_json(root.join("dataset.json"), &listed());
}

fn nnunet_2(root: &Path) {
    write_channels(root, ".nii");
    write_json(root.join("dataset.json"), &described());
}

/// A CSV file over the files of another layout.
fn table(root: &Path) {
    write_channels(root, ".nii");
    write_json(root.join("dataset.json"), &described());
    let mut text = String::from("\u{feff}subject, case ,image_1,image_0,age,label\n");
    for case in (0..=CASES).rev() {
        let (folder, name) = (if case < CASES { "imagesTr" } else { "imagesTs" }, name(case));
        let label = if case < CASES { format!("labelsTr/{name}.nii") } else { String::new() };
        text += &format!(
            "p{case},{name},{folder}/{name}_0001.nii,\"{folder}/{name}_0000.nii\",77,{label}\n"
        );
    }
    fs::write(root.join("pairs.csv"), text).unwrap();
}

type Loaded = (String, Image, Option<LabelMap>);

fn loaded(dataset: &Dataset) -> (Vec<Loaded>, Vec<Loaded>) {
    let load = |cases: &[medvol::CaseFiles]| {
        let load = |case: &medvol::CaseFiles| {
            let (image, labels) = dataset.load(case).unwrap();
            assert_eq!(io::open(&case.images).unwrap().grid().channels, image.channels());
            (case.name.clone(), image, labels)
        };
        cases.iter().map(load).collect()
    };
    (load(&dataset.cases), load(&dataset.test))
}

#[test]
fn the_same_cases_in_four_layouts_load_as_the_same_volumes() {
    let folder = tempfile::tempdir().unwrap();
    type Write = fn(&Path);
    let layouts = [
        ("msd", decathlon as Write, ""),
        ("v1", nnunet_1 as Write, ""),
        ("v2", nnunet_2 as Write, ""),
        ("csv", table as Write, "pairs.csv"),
    ];
    let mut all = Vec::new();
    for (layout, write, file) in layouts {
        let root = folder.path().join(layout);
        write(&root);
        let dataset = Dataset::open(root.join(file)).unwrap();
        assert!(Dataset::is_at(&root.join(file)));
        assert_eq!(dataset.channels, ["T1", "T2"], "{layout}");
        assert_eq!(
            dataset
                .labels
                .iter()
                .map(|label| (label.value, label.name.as_str()))
                .collect::<Vec<_>>(),
            [(0, "background"), (1, "organ"), (2, "nodule")]
        );
        all.push(loaded(&dataset));
    }
    assert_eq!((all[0].0.len(), all[0].1.len()), (CASES, 1));
    for other in &all[1..] {
        assert!(*other == all[0]);
    }
}

#[test]
fn mapped_cases_may_lie_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let (root, elsewhere) = (folder.path().join("Dataset001_Toy"), folder.path().join("elsewhere"));
    write_channels(&elsewhere, ".nii");
    fs::create_dir(&root).unwrap();
    let mut description = described();
    description["dataset"] = json!({"first": {
        "images": [format!("../elsewhere/imagesTr/{}_0000.nii", name(0)), elsewhere.join(format!("imagesTr/{}_0001.nii", name(0)))],
        "label": format!("../elsewhere/labelsTr/{}.nii", name(0)),
    }});
    write_json(root.join("dataset.json"), &description);
    let (cases, _) = loaded(&Dataset::open(&root).unwrap());
    assert_eq!(cases[0].0, "first");
    assert_eq!(
        cases[0].2,
        Some(volumes(0).1).map(|map| LabelMap { affine: cases[0].1.affine, ..map })
    );
}

#[test]
fn what_of_nnunet_is_not_supported_is_named() {
    for (key, value, named) in
        [("file_ending", json!(".png"), ".png"), ("file_ending", json!(7), "file_ending")]
    {
        let folder = tempfile::tempdir().unwrap();
        nnunet_2(folder.path());
        let mut description = described();
        description[key] = value;
        write_json(folder.path().join("dataset.json"), &description);
        let message = Dataset::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn missing_and_surplus_channels_of_nnunet_are_missed_by_their_names() {
    for (write, ending) in [(nnunet_1 as fn(&Path), ".nii.gz"), (nnunet_2, ".nii")] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let file = |case: usize, channel: usize| {
            folder.path().join(format!("imagesTr/{}_{channel:04}{ending}", name(case)))
        };
        fs::remove_file(file(1, 1)).unwrap();
        fs::copy(file(2, 1), file(2, 2)).unwrap();
        let dataset = Dataset::open(folder.path()).unwrap();
        let message = dataset.load(&dataset.cases[1]).unwrap_err().to_string();
        assert!(message.contains(&format!("{}_0001", name(1))), "{message}");
        let message = dataset.load(&dataset.cases[2]).unwrap_err().to_string();
        assert!(message.contains("expected 2 channel(s), found 3"), "{message}");
        assert!(dataset.load(&dataset.cases[0]).is_ok());
    }
}

#[test]
fn a_label_map_without_an_image_is_a_case_of_nnunet_whose_image_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    nnunet_2(folder.path());
    write_labels(folder.path().join("labelsTr/lonely.nii"), &volumes(0).1).unwrap();
    let dataset = Dataset::open(folder.path()).unwrap();
    let message = dataset.load(dataset.cases.last().unwrap()).unwrap_err().to_string();
    assert!(message.contains("lonely_0000.nii"), "{message}");
}

#[test]
fn a_table_that_cannot_be_understood_is_refused_with_its_lines() {
    for (text, named) in [
        ("scan,label\na.nii,b.nii\n", vec!["\"image\"", "scan,label"]),
        ("image,label\na.nii,b.nii\n,c.nii\nd.nii,e.nii,f.nii\n", vec!["line 3", "line: 4"]),
        (
            "image,label\na/x.nii,b.nii\na/y.nii,c.nii\na/x.nii,d.nii\n",
            vec!["\"x\" is listed twice", "pairs.csv", "line 2 and line 4"],
        ),
        ("image,label,case\na.nii,b.nii,../x\n", vec!["../x"]),
        ("image,label\n", vec!["no cases"]),
        ("", vec!["\"image\""]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.csv");
        fs::write(&path, text).unwrap();
        let message = Dataset::open(&path).unwrap_err().to_string();
        assert!(message.contains("pairs.json") && message.contains("channel_names"), "{message}");
        write_json(folder.path().join("pairs.json"), &described());
        let message = Dataset::open(&path).unwrap_err().to_string();
        for part in named {
            assert!(message.contains(part), "\"{part}\" is not in: {message}");
        }
    }
}

#[test]
fn a_table_says_whose_images_they_are_and_names_cases_by_their_images() {
    let folder = tempfile::tempdir().unwrap();
    write_json(folder.path().join("dataset.json"), &described());
    let path = folder.path().join("pairs.csv");
    fs::write(&path, "image,subject,label\nsub/a.1.nii.gz,p1,a.nii\n/b.nii,,\n").unwrap();
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!(
        (dataset.cases[0].name.as_str(), dataset.cases[0].subject.as_deref()),
        ("a.1", Some("p1"))
    );
    assert_eq!(dataset.cases[0].images, [folder.path().join("sub/a.1.nii.gz").into()]);
    assert_eq!(
        (dataset.test[0].images[0].path(), &dataset.test[0].subject),
        (Path::new("/b.nii"), &None)
    );
}

#[test]
fn nnunet_files_of_another_ending_are_read_where_they_can_only_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_channels(root, ".nii");
    write_json(root.join("dataset.json"), &described());
    let expected = loaded(&Dataset::open(root).unwrap());
    let rename = |from: String, to: String| {
        let image = io::Source::from(root.join(&from)).open().unwrap().image().unwrap();
        write_image(root.join(to), &image).unwrap();
        fs::remove_file(root.join(from)).unwrap();
    };
    let (first, second, test) = (name(0), name(1), name(CASES));
    for stem in [
        // One channel; a case as a whole; a test image.
        format!("imagesTr/{first}_0001"),
        format!("imagesTr/{second}_0000"),
        format!("imagesTr/{second}_0001"),
        format!("labelsTr/{second}"),
        format!("imagesTs/{test}_0000"),
    ] {
        rename(format!("{stem}.nii"), format!("{stem}.nii.gz"));
    }
    // An image that nobody has labelled, and another file for an image that is there.
    write_image(root.join("imagesTr/stray_0000.nii.gz"), &channels(0)[0]).unwrap();
    write_image(root.join(format!("imagesTr/{first}_0000.nrrd")), &channels(1)[0]).unwrap();
    let dataset = Dataset::open(root).unwrap();
    assert_eq!(loaded(&dataset), expected);
    let said: Vec<&str> = dataset.notices.iter().map(|notice| notice.text.as_str()).collect();
    assert!(said.len() == 1 && said[0].starts_with("5 file(s) have another ending"), "{said:?}");

    // Of two files nobody can know which is meant.
    let twice = format!("imagesTr/{first}_0001.nrrd");
    write_image(root.join(&twice), &channels(0)[1]).unwrap();
    let dataset = Dataset::open(root).unwrap();
    let missing = dataset.cases[0].images[1].path();
    assert!(missing.ends_with(format!("imagesTr/{first}_0001.nii")), "{}", missing.display());
}

#[test]
fn nnunet_label_maps_may_have_the_names_of_images_or_say_what_they_are() {
    for ending in ["_seg", "_0000", "-Label"] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write_channels(root, ".nii");
        write_json(root.join("dataset.json"), &described());
        let expected = loaded(&Dataset::open(root).unwrap());
        let label_map = |stem: &str| root.join(format!("labelsTr/{stem}.nii"));
        for case in (0..CASES).map(name) {
            fs::rename(label_map(&case), label_map(&format!("{case}{ending}"))).unwrap();
        }
        let dataset = Dataset::open(root).unwrap();
        assert_eq!(loaded(&dataset), expected, "{ending}");
        let said: Vec<&str> = dataset.notices.iter().map(|notice| notice.text.as_str()).collect();
        let expected = format!("{CASES} label map(s) have another name than their case");
        assert!(said.len() == 1 && said[0].starts_with(&expected), "{said:?}");

        // Of two nobody can know which is meant.
        let first = name(0);
        fs::copy(label_map(&format!("{first}{ending}")), label_map(&format!("{first}_mask")))
            .unwrap();
        let dataset = Dataset::open(root).unwrap();
        let case = dataset.cases.iter().find(|case| case.name == first);
        assert!(case.is_none_or(|case| !case.label.as_ref().unwrap().path().exists()));
    }
}

#[test]
fn headers_of_pairs_that_are_named_by_their_voxels_belong_to_their_cases() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_channels(root, ".img");
    let mut description = described();
    description["file_ending"] = json!("*.img");
    write_json(root.join("dataset.json"), &description);
    let dataset = Dataset::open(root).unwrap();
    assert!(dataset.cases[0].images[0].path().ends_with(format!("{}_0000.img", name(0))));
    let report = check(root, &Default::default(), |_, _| true).unwrap().unwrap();
    let unlisted = |found: &&Finding| found.kind == Kind::UnlistedFile;
    assert_eq!(report.findings.iter().find(unlisted), None);
}

#[test]
fn nnunet_files_that_differ_only_in_capitals_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write_channels(root, ".nii");
    write_json(root.join("dataset.json"), &described());
    let path = root.join(format!("imagesTr/{}_0000", name(0)));
    fs::copy(path.with_extension("nii"), path.with_extension("NII")).unwrap();
    let error = Dataset::open(root).unwrap_err().to_string();
    assert!(error.contains(".nii and ") || error.contains(".NII and "), "{error}");
    assert!(error.contains("have one name"), "{error}");
}
