//! A deciding search on phantoms: stopped or not, on one thread or two, it ends with the same bits in
//! one network.

use scnas::Error;
use scnas::message::Sureness;
use scnas::report::decided::Decided;
use scnas::space::genotype::Genotype;

use crate::run::{StopAfter, config, fingerprint, phantoms, whole_run};

/// One epoch of warm-up, three that decide, two that settle.
const DECIDE: [&str; 5] = [
    "data.folds=3",
    "search.epochs=6",
    "search.decide={}",
    "search.augment=true",
    "search.schedule=cosine",
];

#[test]
fn a_deciding_search_stopped_again_and_again_on_any_number_of_threads_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantoms(folder.path());
    let config = config(&DECIDE);
    let (whole, pieces) = (folder.path().join("whole"), folder.path().join("pieces"));
    whole_run(&data, &whole, &config, &StopAfter::looks(usize::MAX)).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut stops = 0;
    while let Err(error) =
        pool.install(|| whole_run(&data, &pieces, &config, &StopAfter::looks(5 + 2 * stops)))
    {
        assert!(matches!(error, Error::Stopped), "{error}");
        stops += 1;
        assert!(stops < 50, "a resumed run makes no progress");
    }
    assert!(stops >= 2, "{stops}");
    assert_eq!(fingerprint(&whole), fingerprint(&pieces));
    let decided = std::fs::read(whole.join(Decided::FILE)).unwrap();
    assert_eq!(decided, std::fs::read(pieces.join(Decided::FILE)).unwrap());

    let read = |name: &str| std::fs::read_to_string(whole.join(name)).unwrap();
    let lines: Vec<serde_json::Value> =
        read("log.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let search = lines.iter().filter(|line| line["phase"] == "search");
    let left: Vec<f64> =
        search.clone().map(|line| line["decide"]["left"].as_f64().unwrap()).collect();
    assert!(left.len() == 6 && left[0] == 8.0 && left[3..] == [1.0; 3], "{left:?}");
    assert!(left.is_sorted_by(|a, b| a >= b), "{left:?}");
    let agreements: Vec<bool> =
        search.map(|line| line["decide"]["agreement"]["r"].is_number()).collect();
    assert_eq!(agreements, [false, true, true, true, true, true]);

    // What is found is what is left.
    let genotype: Genotype = serde_json::from_str(&read("genotype.json")).unwrap();
    let Decided { drops, sureness, .. } = Decided::read(&whole).unwrap().unwrap();
    let Sureness { dropped, shown, .. } = sureness;
    assert!(dropped == 56 * 7 && shown <= dropped, "{shown} of {dropped}");
    assert!(sureness.to_string().contains("of 392 dropped operations"), "{sureness}");
    for (drops, &chosen) in drops.iter().zip(genotype.choices.iter()) {
        assert!((0..drops.len()).all(|op| drops[op].is_none() == (op == chosen)));
    }
}
