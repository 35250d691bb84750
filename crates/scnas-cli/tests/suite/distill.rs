//! One network of several: teachers, what they must fit, and that a run stays with its own.

use crate::common::{bytes, folder, json, refuse, scnas, stderr, succeed, task, tiny};

#[test]
fn a_network_learns_from_others_always_the_same_and_only_from_those_it_began_with() {
    let dir = folder("distill");
    task(&dir);
    let train = |arch: &'static str, out: &'static str, teachers: &[&'static str]| {
        let teachers = teachers.iter().flat_map(|teacher| ["--distill", teacher]);
        let command = ["train", "data", "--arch", arch, "--out", out].into_iter();
        command.chain(teachers).collect::<Vec<&str>>()
    };
    for (arch, out) in [("u-resnet-half", "a"), ("conv3", "b"), ("u-resnet-half", "plain")] {
        succeed(&dir, &tiny(&train(arch, out, &[]), &[]));
    }
    for out in ["pupil", "again"] {
        succeed(&dir, &tiny(&train("u-resnet-half", out, &["a", "b"]), &[]));
    }
    let model = |run: &str| bytes(dir.join(run).join("model.safetensors"));
    assert!(model("pupil") == model("again"), "the same teachers teach another thing");
    assert!(model("pupil") != model("plain"), "teachers teach nothing");
    assert!(!dir.join("plain/teachers.json").exists());
    let unheard = train("u-resnet-half", "unheard", &["a"]);
    succeed(&dir, &tiny(&unheard, &["train.distill=0.0"]));
    assert!(model("unheard") == model("plain"), "teachers of no weight teach something");

    refuse(
        &dir,
        &tiny(&train("u-resnet-half", "pupil", &["b"]), &["train.epochs=2"]),
        &["origin.json", "another run"],
    );
    refuse(
        &dir,
        &tiny(&train("conv3", "new", &["a"]), &["data.patch=[8, 8, 8]"]),
        &["patch [8, 8, 8]", "patch [16, 16, 16]"],
    );
    refuse(&dir, &tiny(&train("conv3", "new", &["nowhere"]), &[]), &["nowhere"]);

    // Fold 1 holds out what the teachers were trained on.
    let command = [&train("conv3", "seen", &["a"])[..], &["--fold", "1"]].concat();
    let output = scnas(&dir, &tiny(&command, &[])).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success() && said.contains("trained on 2 of the 2 cases"), "{said}");

    // The candidates of a race that came to its end teach the winner, where that is asked for.
    let race = |out: &'static str, distill: &'static str| {
        let candidates = "race.candidates=[\"u-resnet-half\", \"conv3\"]";
        let settings = ["race.epochs=[1, 2]", candidates, distill];
        json(&dir, &tiny(&["search", "data", "--strategy", "race", "--out", out], &settings));
    };
    race("taught", "race.distill=true");
    race("untaught", "race.distill=false");
    assert!(model("taught") != model("untaught"));
    assert!(dir.join("taught/candidates/conv3@4/model.safetensors").exists());
}
