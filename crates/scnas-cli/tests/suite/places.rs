//! Where results may lie, and where images lie that contradict themselves about it.

use std::path::Path;

use crate::common::{
    bytes, folder, read_grid, read_image, read_labels, refuse, scnas, stderr, succeed, task, tiny,
    write_image,
};

fn train(dir: &Path, data: &str, out: &str, settings: &[&str]) {
    let settings = [&["train.epochs=1"], settings].concat();
    succeed(dir, &tiny(&["train", data, "--arch", "conv3", "--out", out], &settings));
}

#[test]
fn results_are_not_written_where_they_would_be_taken_for_images() {
    let dir = folder("results_among_images");
    task(&dir);
    train(&dir, "data", "run", &[]);
    let image = read_image(dir.join("data/imagesTs/phantom_007.nii.gz")).unwrap();
    std::fs::create_dir(dir.join("images")).unwrap();
    write_image(dir.join("images/a_0000.nii.gz"), &image).unwrap();
    let predict = |input, out| ["predict", input, "--model", "run", "--out", out];
    for (input, out) in [
        ("images", "images"),
        // In the folders of a data set, also of an image that is none of it.
        ("images", "data/imagesTr"),
        ("images/a_0000.nii.gz", "data/labelsTr/../imagesTs/a.nii.gz"),
    ] {
        refuse(&dir, &predict(input, out), &["read for images", "another folder as --out"]);
    }
    let run = tiny(&["train", "data", "--arch", "conv3", "--out", "data/imagesTs"], &[]);
    refuse(&dir, &run, &["data/imagesTs", "read for images"]);
    // An image that is named alone may have its labels beside it, and a data set its predictions.
    for (input, out) in
        [("images/a_0000.nii.gz", "images/labels.nii.gz"), ("data", "data/predicted")]
    {
        succeed(&dir, &predict(input, out));
        succeed(&dir, &predict(input, out));
    }
    let check = scnas(&dir, &["check", "data"]).output().unwrap();
    assert!(check.status.success(), "{check:?}");
}

/// Gives the image at `path` an sform of 1 mm, in its own directions, beside its pixdim.
fn contradict(path: &Path) {
    let (plain, grid) = (path.with_extension("nii"), read_grid(path).unwrap());
    write_image(&plain, &read_image(path).unwrap()).unwrap();
    let mut header = bytes(&plain);
    // No qform.
    header[252..254].copy_from_slice(&[0, 0]);
    let [dz, dy, dx] = grid.affine.spacing();
    for (row, values) in grid.affine.0.iter().take(3).enumerate() {
        for (column, mm) in [dx, dy, dz].into_iter().enumerate() {
            let at = 280 + 16 * row + 4 * column;
            header[at..at + 4].copy_from_slice(&((values[column] / mm) as f32).to_le_bytes());
        }
    }
    std::fs::remove_file(&plain).unwrap();
    // Whether it is compressed is seen by its bytes.
    std::fs::write(path, header).unwrap();
}

#[test]
fn a_reading_of_headers_may_be_chosen_and_is_kept_in_plan_and_model() {
    let dir = folder("geometry");
    task(&dir);
    train(&dir, "data", "sound", &[]);
    let predict = |model, out| ["predict", "data", "--model", model, "--out", out];
    succeed(&dir, &predict("sound", "expected"));
    for images in ["imagesTr", "imagesTs"] {
        for image in std::fs::read_dir(dir.join("data").join(images)).unwrap() {
            contradict(&image.unwrap().path());
        }
    }
    let check = scnas(&dir, &["check", "data"]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(!check.status.success() && said.contains("sform or pixdim (--geometry)"), "{said}");
    succeed(&dir, &["check", "data", "--geometry", "pixdim"]);

    let refused = tiny(&["train", "data", "--arch", "conv3", "--out", "run"], &[]);
    let refused = scnas(&dir, &refused).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(stderr(&refused).contains("(--set data.geometry)"), "{}", stderr(&refused));
    train(&dir, "data", "run", &["data.geometry=pixdim"]);
    let plan = std::fs::read_to_string(dir.join("run/plan.json")).unwrap();
    assert!(plan.contains(r#""geometry": "pixdim""#), "{plan}");

    // As from headers that agree: by the model's own reading, or by that of the command.
    succeed(&dir, &predict("run", "by_model"));
    refuse(&dir, &predict("sound", "none"), &["sform or pixdim", "(--geometry)"]);
    let asked = [&predict("sound", "asked")[..], &["--geometry", "pixdim"]].concat();
    succeed(&dir, &asked);
    for name in ["phantom_007.nii.gz", "phantom_008.nii.gz"] {
        let [expected, by_model, asked] = ["expected", "by_model", "asked"]
            .map(|folder| read_labels(dir.join(folder).join(name)).unwrap().voxels);
        assert!(expected == by_model && expected == asked, "{name}");
    }
    let scores = ["evaluate", "by_model", "expected", "--geometry"];
    succeed(&dir, &[&scores[..], &["pixdim"]].concat());
    let wrong = scnas(&dir, &[&scores[..], &["affine"]].concat()).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(stderr(&wrong).contains("sform, qform, pixdim"), "{}", stderr(&wrong));
}
