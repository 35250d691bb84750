//! Single commands of the built binary: what they refuse, what they leave alone, what they say.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::common::{
    bytes, folder, json, read_image, read_labels, refuse, scnas, stderr, succeed, task, tiny,
    write_image, write_labels,
};
use crate::images::model;

fn search_refused(dir: &Path, named: &[&str]) {
    refuse(dir, &tiny(&["search", "data", "--out", "new"], &[]), named);
    // Nothing that keeps the same command from going on once the data are put right.
    assert!(!dir.join("new/config.toml").exists() && !dir.join("new/plan.json").exists());
}

#[test]
fn damaged_data_sets_are_refused_by_name_before_a_run_begins() {
    let dir = folder("damaged");
    let data = task(&dir);
    let (image, label) =
        (data.join("imagesTr/phantom_002.nii.gz"), data.join("labelsTr/phantom_003.nii.gz"));
    let restored = |path: &PathBuf, damage: &dyn Fn(&Path), named: &[&str]| {
        let good = bytes(path);
        damage(path);
        search_refused(&dir, named);
        std::fs::write(path, good).unwrap();
    };
    restored(&image, &|path| std::fs::remove_file(path).unwrap(), &["phantom_002.nii.gz"]);
    restored(
        &image,
        &|path| std::fs::write(path, &bytes(path)[..bytes(path).len() / 2]).unwrap(),
        &["phantom_002.nii.gz"],
    );
    restored(
        &image,
        &|path| std::fs::write(path, b"not an image").unwrap(),
        &["phantom_002.nii.gz"],
    );
    restored(
        &image,
        &|path| {
            let mut image = read_image(path).unwrap();
            image.voxels[[0, 1, 2, 3]] = f32::NAN;
            write_image(path, &image).unwrap();
        },
        &["phantom_002.nii.gz", "[0, 1, 2, 3]", "NaN"],
    );
    restored(
        &label,
        &|path| {
            let mut labels = read_labels(path).unwrap();
            labels.voxels[[1, 2, 3]] = 9;
            write_labels(path, &labels).unwrap();
        },
        &["phantom_003.nii.gz", "not listed: 9 (1 voxel(s))"],
    );
    restored(
        &label,
        &|path| std::fs::write(path, bytes(data.join("labelsTr/phantom_001.nii.gz"))).unwrap(),
        &["phantom_003.nii.gz", "has shape"],
    );
    restored(
        &label,
        &|path| {
            let mut labels = read_labels(path).unwrap();
            labels.affine.0[0][3] += 5.0;
            write_labels(path, &labels).unwrap();
        },
        &["phantom_003.nii.gz", "mm apart"],
    );
    restored(
        &data.join("dataset.json"),
        &|path| std::fs::write(path, "{").unwrap(),
        &["dataset.json"],
    );
    restored(
        &data.join("dataset.json"),
        &|path| std::fs::remove_file(path).unwrap(),
        &["dataset.json"],
    );
    refuse(&dir, &["search", "nowhere"], &["nowhere"]);
    refuse(&dir, &["train", "nowhere", "--arch", "conv3"], &["nowhere"]);
}

#[test]
fn impossible_settings_are_refused_by_name() {
    let dir = folder("settings");
    task(&dir);
    std::fs::write(dir.join("typo.toml"), "[search]\nepoch = 3\n").unwrap();
    std::fs::write(dir.join("broken.toml"), "[search\n").unwrap();
    for (args, named) in [
        (["--config", "typo.toml"], "epoch"),
        (["--config", "broken.toml"], "broken.toml"),
        (["--config", "missing.toml"], "missing.toml"),
        (["--set", "serch.epochs=3"], "serch"),
        (["--set", "data.patch=[20, 16, 16]"], "data.patch"),
        (["--set", "data.patch=[8000, 8000, 8000]"], "data.patch"),
        (["--set", "data.folds=60"], "60"),
        (["--set", "train.epochs=many"], "many"),
        (["--fold", "7"], "data.fold"),
        (["--device", "abacus"], "abacus"),
    ] {
        for verb in [&["search", "data"][..], &["train", "data", "--arch", "random"]] {
            refuse(&dir, &[verb, &args].concat(), &[named]);
        }
    }
    assert!(!dir.join("runs").exists());
}

#[test]
fn architectures_that_do_not_exist_are_refused_by_name() {
    let dir = folder("architectures");
    task(&dir);
    std::fs::write(dir.join("list.json"), "[1, 2]").unwrap();
    std::fs::write(dir.join("bad.safetensors"), "weights").unwrap();
    std::fs::create_dir(dir.join("empty")).unwrap();
    for name in [
        "conv9",
        "zero",
        "random:x",
        "list.json",
        "missing.json",
        "bad.safetensors",
        "empty",
        "missing/run",
    ] {
        refuse(&dir, &["show", name], &[name]);
        refuse(&dir, &["train", "data", "--arch", name], &[name]);
    }
    refuse(
        &dir,
        &["train", "data", "--arch", "conv3", "--init", "inherit"],
        &["--init inherit", "--from"],
    );
    refuse(&dir, &["train", "data", "--from", "empty"], &["empty"]);
    refuse(&dir, &["compare", "empty"], &["empty", "result.json"]);
    refuse(&dir, &["show", "conv3", "--width", "6"], &["width"]);
    refuse(
        &dir,
        &["train", "data", "--arch", "chain", "--set", "network.operations=[\"conv3\", \"max3\"]"],
        &["chain", "network.operations", "zero"],
    );
}

#[test]
fn cells_that_have_a_name_are_trained_as_the_settings_wire_them_and_are_named_in_every_help() {
    let dir = folder("named_cells");
    task(&dir);
    for name in scnas::store::named::built_in() {
        for verb in ["show", "train", "bench", "cross-validate"] {
            let help = succeed(&dir, &[verb, "--help"]);
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(help.contains(name), "{verb} --help does not name {name}");
        }
    }
    let trained = |out: &str, set: &str| {
        json(&dir, &tiny(&["train", "data", "--arch", "chain", "--out", out], &[set]))
    };
    let wired = trained("wired", "network.residual=true");
    let plain = trained("plain", "network.residual=false");
    assert_eq!(wired["result"]["network"], "chain");
    let parameters = |run: &serde_json::Value| run["result"]["parameters_m"].as_f64().unwrap();
    assert!(parameters(&wired) > parameters(&plain));
}

#[test]
fn networks_of_the_u_family_are_named_or_described_and_kept_in_their_models() {
    let dir = folder("u_family");
    task(&dir);
    let parameters = |args: &[&str]| json(&dir, args)["parameters"].clone();
    let named = parameters(&["show", "u:8"]);
    assert_eq!(named, parameters(&["show", "u-resnet", "--width", "8"]));
    assert_eq!(named, parameters(&["show", "u:8,16,32,64"]));
    let small = r#"{"u": {"channels": [4, 6, 6, 8], "block": "separable", "gates": false}}"#;
    std::fs::write(dir.join("small.json"), small).unwrap();
    json(&dir, &tiny(&["train", "data", "--arch", "small.json", "--out", "run"], &[]));
    let shown = succeed(&dir, &["show", "run/model.safetensors"]);
    assert!(shown.contains("[4, 6, 6, 8]") && shown.contains("no gates"), "{shown}");
    let predicted = json(&dir, &["predict", "data", "--model", "run", "--out", "out"]);
    assert_eq!(predicted["predictions"].as_array().unwrap().len(), 2);
    for bad in ["u:0", "u:8,16", "u:"] {
        refuse(&dir, &["show", bad], &[bad, "u:8,16,32,64"]);
    }
    std::fs::write(dir.join("bad.json"), small.replace("6, 6", "0, 6")).unwrap();
    refuse(&dir, &["show", "bad.json"], &["bad.json", "channels"]);
}

#[test]
fn a_run_folder_is_not_used_for_another_run() {
    let dir = folder("other_run");
    model(&dir);
    refuse(
        &dir,
        &tiny(&["train", "data", "--arch", "conv3", "--out", "run"], &["train.epochs=2"]),
        &["config.toml", "epochs"],
    );
    refuse(
        &dir,
        &tiny(&["train", "data", "--arch", "dil2", "--out", "run"], &["train.epochs=1"]),
        &["origin.json", "dil2"],
    );
    // A search of the same settings.
    let mut search = tiny(&["train", "data", "--out", "run"], &["train.epochs=1"]);
    search[0] = "search";
    refuse(&dir, &search, &["origin.json"]);
    refuse(
        &dir,
        &["train", "data", "--from", "run", "--init", "inherit", "--out", "x"],
        &["search.safetensors"],
    );
}

#[test]
fn quiet_leaves_out_no_warning() {
    let dir = folder("quiet");
    model(&dir);
    let images = dir.join("data/imagesTs");
    for name in ["bad_1.nii.gz", "bad_2.nii.gz"] {
        std::fs::write(images.join(name), "no image").unwrap();
    }
    let predict = ["predict", "data/imagesTs", "--model", "run", "--out", "out", "--quiet"];
    let said = stderr(&scnas(&dir, &predict).output().unwrap());
    assert!(
        said.contains("bad_1.nii.gz") && said.contains("warning: data/imagesTs/bad_2"),
        "{said}"
    );
    // A label map of nothing, which is no error.
    let path = dir.join("data/labelsTr/phantom_001.nii.gz");
    let mut labels = read_labels(&path).unwrap();
    labels.voxels.fill(0);
    write_labels(&path, &labels).unwrap();
    let train = ["train", "data", "--arch", "conv3", "--out", "other", "--quiet"];
    let said = stderr(&scnas(&dir, &tiny(&train, &["train.epochs=1"])).output().unwrap());
    assert!(said.contains("warning  empty-foreground"), "{said}");
}

#[test]
fn settings_of_a_search_are_in_vain_where_nothing_is_searched() {
    let dir = folder("in_vain");
    task(&dir);
    let train = ["train", "data", "--arch", "conv3", "--out", "run"];
    let output =
        scnas(&dir, &tiny(&train, &["train.epochs=1", "search.epochs=2"])).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = stderr(&output);
    assert!(said.contains("warning: --set search.epochs=2 has no effect"), "{said}");
}

#[test]
fn wrong_usage_ends_with_code_2() {
    let dir = folder("usage");
    for args in [
        &[][..],
        &["serch"],
        &["search"],
        &["train", "x"],
        &["predict", "x"],
        &["config", "--preset", "best"],
        &["config", "--threads", "0"],
    ] {
        assert_eq!(scnas(&dir, args).output().unwrap().status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = folder("pipe");
    let mut child = scnas(&dir, &["show", "random"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn completions_and_manual_pages_know_every_verb() {
    let dir = folder("generate");
    let said = |args: &[&str]| {
        let output = scnas(&dir, args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let help = said(&["--help"]);
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let verbs = verbs.take_while(|line| !line.is_empty());
    let verbs: Vec<&str> = verbs
        .filter_map(|line| {
            line.strip_prefix("  ")?.split(' ').next().filter(|verb| !verb.is_empty())
        })
        .filter(|verb| *verb != "help")
        .collect();
    assert!(verbs.len() > 15, "{verbs:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = said(&["generate", "completions", shell]);
        let missing: Vec<&&str> = verbs.iter().filter(|verb| !script.contains(**verb)).collect();
        assert!(missing.is_empty() && script.contains("max-params"), "{shell}: {missing:?}");
    }
    said(&["generate", "man", "man"]);
    for verb in verbs {
        let page = std::fs::read_to_string(dir.join(format!("man/scnas-{verb}.1"))).unwrap();
        assert!(page.contains(".TH") && page.contains(".SH OPTIONS"), "{verb}");
    }
}

#[test]
fn the_devices_are_listed_and_others_are_refused() {
    let dir = folder("devices");
    let listed = json(&dir, &["devices"]);
    assert_eq!(listed["devices"][0]["name"], "cpu");
    assert!(succeed(&dir, &["devices"]).starts_with("cpu"));
    refuse(&dir, &["--device", "tpu", "devices"], &["`tpu`", "`cpu`", "gpu"]);
}
