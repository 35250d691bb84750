//! A deciding search on phantoms: stopped or not, on one thread or two, it ends with the same bits in
//! one network.

use scnas::message::Sureness;
use scnas::report::decided::Decided;
use scnas::space::genotype::Genotype;

use crate::run::whole_and_in_pieces;

/// One epoch of warm-up, three that decide, two that settle.
const DECIDE: [&str; 5] = [
    "data.folds=3",
    "search.epochs=6",
    "search.decide={patches=2}",
    "search.augment=true",
    "search.schedule=cosine",
];

#[test]
fn a_deciding_search_stopped_again_and_again_on_any_number_of_threads_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, pieces] = whole_and_in_pieces(folder.path(), &DECIDE);
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
    let agreements: Vec<bool> = search.map(|line| line["agreement"]["r"].is_number()).collect();
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
