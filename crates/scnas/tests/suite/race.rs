//! Races on phantoms with tiny settings: stopped again and again, shared, held to budgets.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use medvol::phantom::{PhantomTask, write_task};
use scnas::ranks::Alone;
use scnas::report::evaluation::Evaluation;
use scnas::report::race::Race;
use scnas::report::result::RunResult;
use scnas::store::model::Model;
use scnas::store::named::Named;
use scnas::{Config, Error, Observer, Order, Silent, run_search};

/// Asks to stop after a number of looks at [`Observer::stop`].
struct StopAfter(AtomicUsize);

impl Observer for StopAfter {
    fn stop(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err()
    }
}

const TINY: [&str; 10] = [
    "search.strategy=race",
    "network.width=8",
    "data.folds=3",
    "data.patch=[16, 16, 16]",
    "data.spacing=[2.5, 2.5, 2.5]",
    "race.candidates=[\"u-resnet-half\", \"u-resnet-half@4\", \"conv3@4\", \"random:0@4\"]",
    "race.epochs=[1, 2]",
    "train.epochs=1",
    "train.patches=1",
    "train.ema=0.9",
];

fn config(overrides: &[&str]) -> Config {
    let overrides: Vec<String> = TINY.iter().chain(overrides).map(|s| s.to_string()).collect();
    Config::load("default", None, &overrides).unwrap()
}

fn race(
    data: &Path,
    folder: &Path,
    config: &Config,
    observer: &dyn Observer,
) -> Result<(RunResult, Evaluation), Error> {
    let device = scnas::device("cpu").unwrap();
    let (config, device, ranks) = (config.clone(), &device, &Alone);
    run_search(Order { data, folder, config, device, ranks }, observer)
}

fn phantoms(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    write_task(&data, &PhantomTask { seed: 5, cases: 9, test_cases: 0, coarseness: 3.0 }).unwrap();
    data
}

/// What a race is known by: the winner's weights and scores, and all scores of all rungs.
fn fingerprint(run: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> =
        ["model.safetensors", "genotype.json", "winner.toml", "evaluation.json"]
            .iter()
            .map(|name| (name.to_string(), std::fs::read(run.join(name)).unwrap()))
            .collect();
    for rung in Race::read(run).unwrap().unwrap().rungs {
        for standing in rung.standings {
            let name = format!("{} after {} epochs", standing.name, rung.epochs);
            let dice = standing.dice.unwrap().to_bits().to_le_bytes().to_vec();
            found.push((name, [dice, vec![u8::from(standing.goes_on)]].concat()));
        }
    }
    found
}

#[test]
fn a_race_stopped_again_and_again_ends_with_the_same_bits_as_one_that_never_was() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantoms(folder.path());
    let (whole, pieces) = (folder.path().join("whole"), folder.path().join("pieces"));
    let config = config(&["race.distill=true"]);
    let (result, _) = race(&data, &whole, &config, &Silent).unwrap();
    let mut stops = 0;
    while let Err(error) =
        race(&data, &pieces, &config, &StopAfter(AtomicUsize::new(20 + 3 * stops)))
    {
        assert!(matches!(error, Error::Stopped), "{error}");
        stops += 1;
        assert!(stops < 60, "a resumed race makes no progress");
    }
    assert!(stops >= 3, "{stops}");
    assert_eq!(fingerprint(&whole), fingerprint(&pieces));

    // What is handed over is the winner at its own width, and it is found by the run's name.
    let found = Race::read(&whole).unwrap().unwrap();
    let winner = found.winner().unwrap();
    let device = scnas::device("cpu").unwrap();
    let card = Model::read(&whole.join("model.safetensors"), &device).unwrap().card;
    assert_eq!((&card.architecture, card.size.width), (&winner.architecture, winner.width));
    let named = Named::of_run(&whole).unwrap();
    assert_eq!((named.architecture, named.made_for.unwrap().size), (card.architecture, card.size));
    let verdict = result.race.unwrap();
    assert_eq!((verdict.winner, verdict.prior.as_str()), (winner.name.clone(), "u-resnet-half@8"));
    // Of four candidates two go on, but one of each of three families.
    let running: Vec<usize> = found.rungs.iter().map(|rung| rung.standings.len()).collect();
    assert_eq!(running, [4, 3]);
}

#[test]
fn a_candidate_that_went_all_the_way_was_trained_as_if_no_rung_had_stopped_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantoms(folder.path());
    let weights = |name: &str, epochs: &str| {
        let out = folder.path().join(name);
        let epochs = format!("race.epochs={epochs}");
        let two = "race.candidates=[\"u-resnet-half@4\", \"conv3@4\"]";
        race(&data, &out, &config(&[&epochs, two]), &Silent).unwrap();
        let checkpoint = "candidates/u-resnet-half@4/checkpoint/train.safetensors";
        let device = scnas::device("cpu").unwrap();
        let weights = scnas::store::checkpoint::weights(&out.join(checkpoint), &device).unwrap();
        let values =
            |w: &scnas::network::weights::Weight| w.value.to_data().try_to_vec::<f32>().unwrap();
        weights.iter().map(|(_, w)| values(w)).collect::<Vec<_>>()
    };
    assert_eq!(weights("one", "[3]"), weights("three", "[1, 2, 3]"));
}

#[test]
fn two_at_a_time_share_a_race_and_end_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantoms(folder.path());
    let (alone, shared) = (folder.path().join("alone"), folder.path().join("shared"));
    let config = config(&["race.epochs=[2, 4]"]);
    race(&data, &alone, &config, &Silent).unwrap();
    let both = || race(&data, &shared, &config, &Silent).unwrap().0;
    std::thread::scope(|scope| {
        let other = scope.spawn(both);
        assert_eq!(both(), other.join().unwrap());
    });
    assert_eq!(fingerprint(&alone), fingerprint(&shared));
}

#[test]
fn budgets_make_candidates_narrower_and_what_is_handed_over_meets_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantoms(folder.path());
    let out = folder.path().join("run");
    let budget = config(&["race.max_params=40k", "network.width=16", "race.epochs=[1]"]);
    let (result, _) = race(&data, &out, &budget, &Silent).unwrap();
    assert!(result.parameters_m <= 0.04, "{}", result.parameters_m);
    let entrants = Race::read(&out).unwrap().unwrap().entrants;
    assert!(entrants.candidates.iter().all(|c| c.cost.parameters <= 40_000));
    // A stem of three channels would have more.
    assert_eq!(entrants.candidates[0].name, "u:2");
    let stems = entrants.candidates.iter().filter(|c| c.name.starts_with("u:")).count();
    assert_eq!(stems, 1, "two U-ResNets are made the same one: {entrants:?}");
    assert!(
        entrants.remarks.iter().any(|r| r.to_string().contains("u-resnet-half@16")),
        "{entrants:?}"
    );

    // Seconds and bytes bite as parameters do.
    let weighed = &entrants.candidates[0];
    assert!(weighed.seconds > 0.0 && weighed.memory.is_none_or(|bytes| bytes > 1 << 20));
    for (budget, named) in [
        ("race.max_params=10", "max_params = 10:"),
        ("race.max_gflops=0.000001", "max_gflops"),
        ("race.max_seconds=0.0000001", "s for the largest training case"),
        ("race.max_memory=1k", "MiB"),
    ] {
        let none = folder.path().join("none");
        let error = race(&data, &none, &config(&[budget]), &Silent).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::NoCandidate { .. }), "{text}");
        assert!(text.contains(named) && text.contains("u:1 with"), "{budget}: {text}");
        assert!(!none.join("candidates").exists(), "something was trained");
    }
    // A design that names its own channels is made narrower, too.
    let own = ["race.max_params=10", "race.candidates=[\"u:2\"]", "network.width=16"];
    let error = race(&data, &folder.path().join("own"), &config(&own), &Silent).unwrap_err();
    assert!(error.to_string().contains("u:1 with"), "{error}");
}
