//! A cross-validation with several seeds: in one process, as tasks, submitted; its table; what reads
//! its folder.

use std::path::Path;

use crate::common::{
    bytes, contents, folder, json, refuse, same_run, scnas, stderr, succeed, task, tiny,
};
use crate::jobs::{read_json, states, timeless};
use serde_json::{Value, json};

/// `cross-validate data --out OUT` of random networks with tiny settings and `more` arguments.
fn trained<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [tiny(&["cross-validate", "data", "--out", out, "--arch", "random"], &[]), more.to_vec()]
        .concat()
}

/// With two seeds.
fn study<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [trained(out, &["--seeds", "0,3"]), more.to_vec()].concat()
}

fn table(dir: &Path, out: &str) -> Value {
    timeless(read_json(dir.join(out).join("seeds.json")))
}

#[test]
fn tasks_of_several_seeds_give_the_table_of_one_process_and_each_seed_is_a_cross_validation() {
    let dir = folder("seeds_whole");
    task(&dir);
    let printed = json(&dir, &study("whole", &[]));
    assert_eq!(timeless(printed["seeds"].clone()), table(&dir, "whole"));
    let all = &printed["seeds"];
    assert_eq!((&all["network"], &all["of"]), (&json!("random"), &json!(3)));
    let counts = ["over_seeds", "over_folds", "over_cases"].map(|over| all[over]["count"].clone());
    assert_eq!(counts, [json!(2), json!(3), json!(6)]);
    assert_eq!(all["procedure"]["degrees_of_freedom"], 1);
    assert_eq!(all["these_networks"]["degrees_of_freedom"], 5);
    let of_seed = |n: usize| {
        all["seeds"][n]["cross_validation"]["over_folds"]["mean_foreground"]["mean"].as_f64()
    };
    let over_seeds = all["over_seeds"]["mean_foreground"]["mean"].as_f64().unwrap();
    assert!((over_seeds - (of_seed(0).unwrap() + of_seed(1).unwrap()) / 2.0).abs() < 1e-12);
    for ending in ["csv", "tex"] {
        assert!(!bytes(dir.join(format!("whole/seeds.{ending}"))).is_empty());
    }

    // The setting's own seed is the cross-validation that it gives alone; the other differs from it
    // in the networks, not in the folds.
    succeed(&dir, &trained("alone", &[]));
    let file = |of: &str, name: &str| bytes(dir.join(of).join(name));
    for fold in ["fold-0", "fold-1", "fold-2"] {
        same_run(&dir.join("alone").join(fold), &dir.join("whole/seed-0").join(fold));
        for name in ["config.toml", "plan.json"] {
            let own = file(&format!("whole/seed-0/{fold}"), name);
            assert!(own == file(&format!("alone/{fold}"), name), "{name}");
        }
        let [a, b] = ["seed-0", "seed-3"].map(|seed| format!("whole/{seed}/{fold}"));
        assert!(file(&a, "plan.json") == file(&b, "plan.json"), "the folds are the same");
        assert!(file(&a, "model.safetensors") != file(&b, "model.safetensors"));
    }
    let alone = timeless(read_json(dir.join("alone/cross-validation.json")));
    assert_eq!(alone, table(&dir, "whole")["seeds"][0]["cross_validation"]);

    let plan = [vec!["plan-jobs"], study("st", &["--write"])].concat();
    let tasks = json(&dir, &plan);
    assert_eq!(read_json(dir.join("st/jobs.json")), tasks);
    let names: Vec<&Value> = tasks.as_array().unwrap().iter().map(|task| &task["name"]).collect();
    let fold = |seed: u64| [0, 1, 2].map(|fold| format!("seed-{seed}/fold-{fold}"));
    let expected = [&fold(0)[..], &fold(3), &["table".into()]].concat();
    assert_eq!(json!(names), json!(expected));
    assert_eq!(tasks[4]["folder"], "st/seed-3/fold-1");
    assert_eq!(tasks[6]["needs"], json!([0, 1, 2, 3, 4, 5]));

    let worker = |task| ["worker", "st", "--quiet", "--task", task];
    for task in ["5", "0", "2", "4", "3"] {
        succeed(&dir, &worker(task));
    }
    let early = scnas(&dir, &worker("6")).output().unwrap();
    assert_eq!(early.status.code(), Some(1), "{early:?}");
    assert!(stderr(&early).contains("of seed 0 fold 1 is not complete"), "{early:?}");
    assert!(String::from_utf8_lossy(&early.stdout).contains("2 of 3"), "{early:?}");
    let partial = table(&dir, "st");
    assert_eq!(
        (&partial["over_seeds"]["count"], &partial["over_folds"]["count"]),
        (&json!(1), &json!(2))
    );
    succeed(&dir, &worker("1"));
    succeed(&dir, &worker("6"));
    let status = json(&dir, &["status", "st"]);
    assert_eq!(states(&status), ["done"; 7]);
    assert_eq!(status[6]["dice"], all["over_folds"]["mean_foreground"]["mean"]);
    assert_eq!(table(&dir, "st"), table(&dir, "whole"));
    for name in ["seed-0/fold-1", "seed-3/fold-2"] {
        same_run(&dir.join("st").join(name), &dir.join("whole").join(name));
    }
    let before = contents(&dir.join("st/seed-3/fold-2"));
    succeed(&dir, &worker("5"));
    assert!(contents(&dir.join("st/seed-3/fold-2")) == before, "what is done is left as it is");

    // The same command again only prints; one seed more is added to what is there.
    assert_eq!(json(&dir, &study("whole", &[])), printed);
    let more = json(&dir, &trained("whole", &["--seeds", "0,1,3", "--folds", "0"]));
    assert_eq!((&more["seeds"]["over_seeds"]["count"], &more["missing"]), (&json!(2), &json!([])));
    assert_eq!(more["seeds"]["over_folds"]["count"], 1);
}

#[test]
fn the_folder_of_several_seeds_is_compared_predicted_with_and_shown() {
    let dir = folder("seeds_read");
    task(&dir);
    succeed(&dir, &study("st", &["--folds", "0,1"]));
    succeed(&dir, &tiny(&["cross-validate", "data", "--out", "cv", "--arch", "max3"], &[]));
    let compared = json(&dir, &["compare", "st", "cv"]);
    assert_eq!(compared[1]["against_first"]["cases"], 4);
    // On two folds, two seeds against one network.
    let procedure = &compared[1]["procedure_against_first"];
    assert_eq!((&procedure["networks"], &procedure["folds"]), (&json!([2, 4]), &json!(2)));

    succeed(&dir, &["predict", "data", "--model", "st", "--out", "all"]);
    let models = ["seed-0/fold-0", "seed-0/fold-1", "seed-3/fold-0", "seed-3/fold-1"];
    let models: Vec<String> = models.map(|model| format!("st/{model}")).to_vec();
    let models = models.iter().flat_map(|model| ["--model", model]);
    let st = read_json(dir.join("st/seeds.json"));
    let helped: Vec<&str> = st["clean_up"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|class| class["helps"] == true)
        .map(|class| class["class"].as_str().unwrap())
        .collect();
    let helped = helped.join(",");
    let cleaned = ["--largest-component", helped.as_str()];
    let cleaned = if helped.is_empty() { &[] } else { &cleaned[..] };
    let by_hand = ["predict", "data", "--out", "by_hand"].into_iter().chain(models);
    succeed(&dir, &[&by_hand.collect::<Vec<_>>()[..], cleaned].concat());
    let files = |out: &str| contents(&dir.join(out)).into_values().collect::<Vec<_>>();
    assert!(!files("all").is_empty() && files("all") == files("by_hand"));

    let page = String::from_utf8(bytes(dir.join("st/report.html"))).unwrap();
    for part in ["Seeds of st", "over seeds", "st, seed-3", "what made them", "Findings"] {
        assert!(page.contains(part) || part == "Findings", "{part}");
    }
    succeed(&dir, &["report", "st", "cv", "--out", "both.html", "--csv", "both.csv"]);
    let csv = String::from_utf8(bytes(dir.join("both.csv"))).unwrap();
    assert!(csv.contains("\nst/seed-3/fold-1,train,") && csv.contains("\ncv/fold-0,"), "{csv}");
    refuse(&dir, &["view", "st", "--no-browser"], &["expected one seed", "st/seed-0"]);

    // One seed and several do not share a folder.
    refuse(&dir, &trained("st", &[]), &["st", "several seeds", "--out"]);
    refuse(&dir, &study("cv", &[]), &["cv", "one seed", "--out"]);
    let other = trained("st", &["--seeds", "0,3", "--set", "seed=3"]);
    refuse(&dir, &other, &["seed 0", "folds_seed"]);
}

#[cfg(unix)]
#[test]
fn folds_of_all_seeds_are_one_array_and_cases_that_go_to_disk_are_there_before_it() {
    let dir = folder("seeds_submitted");
    task(&dir);
    let path = crate::jobs::stand_in(&dir);
    let launch = |out: &str| -> Value {
        let more = ["--set", "data.keep=disk", "--launch", "slurm", "--json"];
        let output = scnas(&dir, &study(out, &more)).env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let checked = stderr(&output).contains("checking cases");
        assert_eq!(checked, !stderr(&output).contains("opening cases"), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let cache = dir.join("st/scnas-cache");
    let cases = || {
        let all = contents(&cache).into_keys();
        all.map(|case| (case.clone(), case.metadata().unwrap().modified().unwrap()))
            .collect::<Vec<_>>()
    };
    let launched = launch("st");
    let stages = json!([["fold", [0, 1, 2, 3, 4, 5], "1"], ["table", [6], "2"]]);
    assert_eq!(crate::jobs::submitted(&launched), stages);
    let said = std::fs::read_to_string(dir.join("said")).unwrap();
    assert!(said.starts_with("--parsable --array=0-5 "), "{said}");
    let filled = cases();
    assert_eq!(filled.len(), 6, "{filled:?}");
    assert!(dir.join("st/checked.txt").exists());

    // Tasks find them there and make none; nor does the same launch.
    for task in ["1", "4"] {
        succeed(&dir, &["worker", "st", "--quiet", "--task", task]);
    }
    std::fs::write(dir.join("queue"), "").unwrap();
    launch("st");
    assert_eq!(cases(), filled);
    assert!(!dir.join("st/seed-0/scnas-cache").exists());

    // A list that is written for another scheduler does the same, and none that is only looked at.
    let plan = study("other", &["--set", "data.keep=disk"]);
    succeed(&dir, &[vec!["plan-jobs"], plan.clone()].concat());
    assert!(!dir.join("other").exists());
    succeed(&dir, &[vec!["plan-jobs"], plan, vec!["--write"]].concat());
    assert_eq!(contents(&dir.join("other/scnas-cache")).len(), 6);
    let race = tiny(&["plan-jobs", "search", "data", "--out", "runs/race"], &["data.keep=disk"]);
    succeed(&dir, &[race, vec!["--write"]].concat());
    assert_eq!(contents(&dir.join("runs/scnas-cache")).len(), 6);
}
