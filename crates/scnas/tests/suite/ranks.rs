//! Ranks, with threads in the place of processes: the order of sums, and that a batch which is shared
//! out gives what it gives whole.

use std::path::{Path, PathBuf};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use medvol::Target;
use medvol::phantom::{PhantomTask, write_task};
use scnas::learn::backprop::{Backprop, LossGradients};
use scnas::learn::batch::Batch;
use scnas::network::architecture::Architecture;
use scnas::network::size::Size;
use scnas::network::weights::{Tape, Weights};
use scnas::ranks::{Alone, Ranks};
use scnas::run::start::Start;
use scnas::store::model::Model;
use scnas::store::named::Named;
use scnas::{Config, Genotype, Order, Silent, run_search, run_train};

/// Where threads meet.
#[derive(Debug)]
struct Meeting {
    all: Barrier,
    given: Mutex<Vec<Vec<u8>>>,
}

/// A thread that takes a process's part; it comes late by as many milliseconds.
#[derive(Debug)]
struct Thread<'a> {
    rank: usize,
    late: u64,
    meeting: &'a Meeting,
}

impl Thread<'_> {
    /// What all have given, in order.
    fn meet(&self, own: &[u8]) -> Vec<Vec<u8>> {
        thread::sleep(Duration::from_millis(self.late));
        self.meeting.given.lock().unwrap()[self.rank] = own.to_vec();
        self.meeting.all.wait();
        let given = self.meeting.given.lock().unwrap().clone();
        self.meeting.all.wait();
        given
    }
}

impl Ranks for Thread<'_> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.meeting.given.lock().unwrap().len()
    }

    fn gather(&self, own: &[u8]) -> Vec<u8> {
        self.meet(own).concat()
    }

    fn exchange(&self, own: &[u8]) -> Vec<u8> {
        let part = own.len() / self.count();
        self.meet(own).iter().flat_map(|of| of[self.rank * part..][..part].to_vec()).collect()
    }
}

/// What `work` gives on each of so many ranks, the first of which come last if `late`.
fn on_ranks<T: Send>(count: usize, late: bool, work: impl Fn(&dyn Ranks) -> T + Sync) -> Vec<T> {
    let given = Mutex::new(vec![Vec::new(); count]);
    let (meeting, work) = (&Meeting { all: Barrier::new(count), given }, &work);
    thread::scope(|scope| {
        let start = |rank| {
            let late = if late { 5 * (count - rank) as u64 } else { 0 };
            scope.spawn(move || work(&Thread { rank, late, meeting }))
        };
        let threads: Vec<_> = (0..count).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn sums_over_ranks_are_the_same_bits_on_all_whoever_comes_first() {
    let of_rank = |rank: usize| -> Vec<f64> {
        (0..10).map(|i| (1.0 + i as f64).powf(rank as f64 * 7.3 - 9.0)).collect()
    };
    let values: Vec<Vec<f64>> = (0..3).map(of_rank).collect();
    let sums = |late| {
        on_ranks(3, late, |ranks| {
            let mut sums = values[ranks.rank()].clone();
            ranks.add(&mut sums);
            let mut many: Vec<f32> =
                values[ranks.rank()].iter().map(|&value| value as f32).collect();
            ranks.add_many(&mut many);
            (sums, many)
        })
    };
    let in_order: Vec<f64> =
        (0..10).map(|i| (values[0][i] + values[1][i]) + values[2][i]).collect();
    let found = [sums(false), sums(true)].concat();
    for (sums, many) in &found {
        assert_eq!(*sums, in_order);
        assert_eq!(*many, found[0].1);
        let close = |(many, sum): (&f32, &f64)| (f64::from(*many) / sum - 1.0).abs() < 1e-6;
        assert!(many.iter().zip(&in_order).all(close));
    }
}

#[test]
fn shares_are_runs_that_cover_all_and_the_first_decides() {
    for (len, count) in [(8, 4), (6, 4), (2, 4), (0, 3), (7, 3)] {
        let shares = on_ranks(count, false, |ranks| ranks.share(len));
        assert_eq!(shares.into_iter().flatten().collect::<Vec<_>>(), (0..len).collect::<Vec<_>>());
    }
    let found = on_ranks(3, true, |ranks| {
        let rank = ranks.rank();
        let texts = ranks.tell(&"x".repeat(rank)).unwrap();
        let nothing = ranks.of_first(|| Ok(None::<usize>)).unwrap();
        let first = ranks.of_first(|| Ok(vec![rank])).unwrap();
        (texts, nothing, first, ranks.any(rank == 2), ranks.agree(4), ranks.agree(rank as u64))
    });
    let texts = ["", "x", "xx"].map(String::from).to_vec();
    assert_eq!(found, vec![(texts, None, vec![0], true, true, false); 3]);
}

/// Loss and gradients of the patches of a batch that are a rank's own.
fn gradients(
    architecture: &Architecture,
    tape: Tape,
    batch: &Batch,
    ranks: &dyn Ranks,
) -> LossGradients {
    let size = Size::isotropic(1, 3, 4);
    let network = architecture.build(size);
    let weights = Weights::new(&scnas::device("cpu").unwrap(), 3, network.layout());
    let own: Vec<Batch> = batch.patches().collect();
    let own = &own[ranks.share(own.len())];
    let own = Batch {
        image: own.iter().flat_map(|patch| patch.image.clone()).collect(),
        shape: [own.len(), 1, 16, 16, 16],
        classes: own.iter().flat_map(|patch| patch.classes.clone()).collect(),
    };
    Backprop {
        network: network.as_ref(),
        weights: &weights,
        loss: "dice-cross-entropy".parse().unwrap(),
        target: &Target::Classes,
        lesson: None,
        supervision: None,
        recompute: false,
        ranks,
    }
    .gradients(tape, &own, &architecture.mixture())
}

#[test]
fn a_batch_that_is_shared_out_has_the_loss_and_gradients_of_the_whole() {
    let space = Config::load("default", None, &[]).unwrap().network.space();
    let architecture = Architecture::from(Genotype::random(&space, 1));
    let voxels = 16 * 16 * 16;
    // Structures of other sizes in every patch, so that Dice is no mean over patches.
    let classes =
        (0..4 * voxels).map(|i| if i % 97 < 5 * (i / voxels) { 1 } else { (i % 3) as u8 });
    let batch = Batch {
        image: (0..4 * voxels).map(|i| ((i * 31 % 113) as f32 / 50.0).sin()).collect(),
        shape: [4, 1, 16, 16, 16],
        classes: classes.collect(),
    };
    let numbers = |found: &LossGradients| -> Vec<f32> {
        let data = found.weights.values().map(|gradient| gradient.clone().into_data());
        data.flat_map(|data| data.iter::<f32>().collect::<Vec<_>>()).collect()
    };
    let whole = gradients(&architecture, Tape::Weights, &batch, &Alone);
    let shared = on_ranks(4, false, |ranks| {
        let found = gradients(&architecture, Tape::Weights, &batch, ranks);
        (found.loss, numbers(&found))
    });
    let largest = numbers(&whole).iter().fold(0.0_f32, |most, g| most.max(g.abs()));
    for (loss, of_rank) in &shared {
        assert!((loss - whole.loss).abs() < 1e-12 * whole.loss, "{loss} {}", whole.loss);
        assert_eq!(of_rank, &shared[0].1);
        for (one, all) in of_rank.iter().zip(numbers(&whole)) {
            assert!((one - all).abs() < 1e-5 * largest, "{one} {all}");
        }
    }
}

const TINY: [&str; 10] = [
    "network.width=4",
    "data.patch=[16, 16, 16]",
    "data.spacing=[2.5, 2.5, 2.5]",
    "search.epochs=3",
    "search.warmup_epochs=1",
    // A rank of three has none of these.
    "search.batch=2",
    "search.then=inherit",
    "train.epochs=2",
    "train.patches=1",
    "train.batch=4",
];

fn config(more: &[&str]) -> Config {
    let lines: Vec<String> = TINY.iter().chain(more).map(|s| s.to_string()).collect();
    Config::load("default", None, &lines).unwrap()
}

/// The losses of a run's epochs, and the weights of its model.
fn reached(run: &Path) -> (Vec<f64>, Vec<f32>) {
    let lines = scnas::store::run_folder::read_log(&run.join("log.jsonl")).unwrap();
    let losses = |line: &scnas::observer::EpochLine| {
        let alpha = line.search.as_ref().and_then(|search| search.alpha_loss);
        [Some(line.loss), alpha]
    };
    let model = Model::read(&run.join("model.safetensors"), &scnas::device("cpu").unwrap());
    let weights = model.unwrap().weights;
    let data = weights.iter().map(|(_, weight)| weight.value.clone().into_data());
    let values = data.flat_map(|data| data.iter::<f32>().collect::<Vec<_>>());
    (lines.iter().flat_map(losses).flatten().collect(), values.collect())
}

fn close(one: &Path, other: &Path) {
    let ((losses, weights), (others, their)) = (reached(one), reached(other));
    assert_eq!(losses.len(), others.len());
    for (one, other) in losses.iter().zip(&others) {
        assert!((one - other).abs() < 1e-4, "{one} {other}");
    }
    let (mut sum, mut apart) = (0.0, 0.0);
    for (one, other) in weights.iter().zip(their) {
        (sum, apart) = (sum + one * one, apart + (one - other) * (one - other));
    }
    assert!(apart < 1e-4 * sum, "{apart} of {sum}");
}

/// Runs of 1 and 3 ranks, the latter twice, in their folders.
fn one_and_three(folder: &Path, run: impl Fn(&Path, &Path, &dyn Ranks) + Sync) -> [PathBuf; 2] {
    let data = folder.join("data");
    write_task(&data, &PhantomTask { seed: 5, cases: 9, test_cases: 0, coarseness: 3.0 }).unwrap();
    let [one, three, again] = ["one", "three", "again"].map(|name| folder.join(name));
    run(&data, &one, &Alone);
    for out in [&three, &again] {
        on_ranks(3, false, |ranks| run(&data, out, ranks));
    }
    let read = |out: &Path| std::fs::read(out.join("model.safetensors")).unwrap();
    assert_eq!(read(&three), read(&again));
    [one, three]
}

#[test]
fn a_training_on_three_ranks_has_the_losses_and_weights_of_one_rank() {
    let folder = tempfile::tempdir().unwrap();
    let device = scnas::device("cpu").unwrap();
    let [one, three] = one_and_three(folder.path(), |data, folder, ranks| {
        let config = config(&["train.drop_path=0.1", "train.ema=0.5"]);
        let named = Named::resolve("chain", &config.network.space(), 0, &device).unwrap();
        let order = Order { data, folder, config, device: &device, ranks };
        run_train(order, &named, Start::Scratch, &[], &Silent).unwrap();
    });
    close(&one, &three);
}

#[test]
fn searches_on_three_ranks_have_the_losses_and_architectures_of_one_rank() {
    for decide in ["search.augment=true", "search.decide={ patches = 2, settle = 0.33 }"] {
        let folder = tempfile::tempdir().unwrap();
        let device = scnas::device("cpu").unwrap();
        let [one, three] = one_and_three(folder.path(), |data, folder, ranks| {
            let config = config(&["search.strategy=bi-level", decide]);
            let order = Order { data, folder, config, device: &device, ranks };
            run_search(order, &Silent).unwrap();
        });
        close(&one, &three);
        let genotype = |run: &Path| std::fs::read(run.join("genotype.json")).unwrap();
        assert_eq!(genotype(&one), genotype(&three));
    }
}

#[test]
fn a_race_on_three_ranks_ends_with_its_winner_on_all() {
    let folder = tempfile::tempdir().unwrap();
    let device = scnas::device("cpu").unwrap();
    let [one, three] = one_and_three(folder.path(), |data, folder, ranks| {
        let config = config(&[
            "search.strategy=race",
            "race.candidates=[\"u-resnet-half@4\", \"chain@4\"]",
            "race.epochs=[1, 2]",
            "train.epochs=1",
            "data.folds=3",
        ]);
        let order = Order { data, folder, config, device: &device, ranks };
        run_search(order, &Silent).unwrap();
    });
    assert!([one, three].iter().all(|run| run.join("result.json").exists()));
}
