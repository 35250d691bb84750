//! Cases on disk: the same patches and the same runs as from memory; what is stale or damaged is made
//! again and never used.

use std::fs::{read, read_dir, write};
use std::path::{Path, PathBuf};
use std::thread;

use medvol::phantom::{PhantomTask, write_task};
use rand::seq::IndexedRandom as _;
use scnas::data::cohort::Cohort;
use scnas::data::kept::KeptCase;
use scnas::data::plan::Plan;
use scnas::error::CasesFault;
use scnas::random::{Stream, rng};
use scnas::run::phases::train;
use scnas::run::setup::Run;
use scnas::run::start::prepare;
use scnas::settings::Config;
use scnas::{Error, Genotype, Silent};

const TINY: [&str; 7] = [
    "network.width=4",
    "data.patch=[16, 24, 16]",
    "data.spacing=[2.5, 2.5, 2.5]",
    "data.folds=3",
    "train.epochs=2",
    "train.patches=1",
    "augment.elastic={ probability = 0.5, displacement_mm = [2.0, 6.0], spacing_mm = 16.0 }",
];

fn config(overrides: &[&str]) -> Config {
    let overrides: Vec<String> = TINY.iter().chain(overrides).map(|s| s.to_string()).collect();
    Config::load("default", None, &overrides).unwrap()
}

fn open<'a>(cohort: &'a Cohort, out: &Path, overrides: &[&str]) -> Result<Run<'a>, Error> {
    let config = config(overrides);
    let plan = Plan::new(cohort, &config)?;
    Run::open(cohort, plan, out, config, scnas::device("cpu").unwrap(), &Silent)
}

fn phantoms(folder: &Path) -> PathBuf {
    let data = folder.join("data");
    write_task(&data, &PhantomTask { seed: 5, cases: 6, test_cases: 0, coarseness: 2.0 }).unwrap();
    data
}

/// The files of a cache, sorted.
fn files(cache: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Images and classes of batches, and windows.
type Seen = (Vec<(Vec<f32>, Vec<u8>)>, Vec<Vec<f32>>);

/// Batches of some epochs of patches that are varied in every way, and windows of held-out cases.
fn seen(run: &Run) -> Seen {
    let members: Vec<usize> = (0..run.training.len()).collect();
    let batches = [true, false].into_iter().flat_map(|augment| {
        let mut patches = run.patches(augment);
        patches.foreground = 0.6;
        let members = &members;
        (0..12).map(move |epoch| {
            let (places, varied) = (Stream::TrainPatches, Stream::TrainAugmentation);
            let draws = patches.draw(members, epoch, places, varied).unwrap();
            let batch = patches.batch(&draws).unwrap();
            (batch.image, batch.classes)
        })
    });
    let window = |case: &KeptCase| {
        let mut random = rng(1, Stream::TrainPatches, 0);
        let corner = case.facts().shape.map(|size| {
            let corners: Vec<isize> = (-20..size as isize + 4).collect();
            *corners.choose(&mut random).unwrap()
        });
        case.window(corner, [16, 24, 16]).unwrap()
    };
    (batches.collect(), run.held_out.iter().map(window).collect())
}

fn bits((batches, windows): &Seen) -> Vec<u32> {
    let images = batches.iter().map(|(image, _)| image).chain(windows);
    let classes = batches.iter().flat_map(|(_, classes)| classes).map(|&class| class.into());
    images.flatten().map(|value| value.to_bits()).chain(classes).collect()
}

#[test]
fn patches_of_random_places_are_the_same_bits_from_memory_and_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = Cohort::open(&phantoms(folder.path())).unwrap();
    let mut seen_before: Vec<Vec<u32>> = Vec::new();
    for (n, settings) in [
        &[][..],
        &["data.normalisation=[\"CT\"]"],
        &["data.numbers=f16"],
        &["data.normalisation=[\"CT\"]", "data.numbers=f16"],
    ]
    .into_iter()
    .enumerate()
    {
        let run = |keep: &str| {
            let out = folder.path().join(format!("{n}-{keep}"));
            let keep = format!("data.keep={keep}");
            open(&cohort, &out, &[settings, &[&keep]].concat()).unwrap()
        };
        let (memory, disk) = (run("memory"), run("disk"));
        let on_disk = |run: &Run| {
            run.training.iter().chain(&run.held_out).filter(|case| !case.in_memory()).count()
        };
        assert_eq!((on_disk(&memory), on_disk(&disk)), (0, 6));
        let found = bits(&seen(&disk));
        assert_eq!(bits(&seen(&memory)), found, "{settings:?}");
        assert_eq!(memory.plan, disk.plan);
        assert_eq!(memory.mirror(), disk.mirror());
        for name in ["data.json", "plan.json"] {
            assert_eq!(read(memory.dir.file(name)).unwrap(), read(disk.dir.file(name)).unwrap());
        }
        assert!(!seen_before.contains(&found), "{settings:?} changes nothing");
        seen_before.push(found);
    }
}

#[test]
fn a_training_from_disk_ends_with_the_same_bits_and_goes_on_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = Cohort::open(&phantoms(folder.path())).unwrap();
    let trained = |name: &str, keep: &str| {
        let out = folder.path().join(name);
        let mut run = open(&cohort, &out, &[&format!("data.keep={keep}")]).unwrap();
        let genotype = Genotype::random(&run.config.network.space(), 0);
        let mut model = prepare(&run, genotype, None).unwrap();
        train(&mut run, &mut model, &Silent).unwrap();
        run.finish("test".into(), &model, &Silent).unwrap();
        read(out.join("model.safetensors")).unwrap()
    };
    let from_memory = trained("memory", "memory");
    assert!(from_memory == trained("disk", "disk"));
    // Where cases are held is no setting that a run must go on with.
    assert!(from_memory == trained("disk", "memory"));
}

#[test]
fn runs_folds_and_processes_share_a_cache_and_fill_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantoms(folder.path());
    let cache = folder.path().join("cache");
    let keep = format!("data.cache={}", cache.display());
    let settings = |fold: usize| {
        let fold = format!("data.fold={fold}");
        ["data.keep=disk", "data.normalisation=[\"CT\"]", &keep, &fold].map(String::from)
    };
    let opened = |name: &str, fold: usize| {
        let cohort = Cohort::open(&data).unwrap();
        let settings = settings(fold);
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let run = open(&cohort, &folder.path().join(name), &settings).unwrap();
        bits(&seen(&run))
    };
    let [first, second] = thread::scope(|scope| {
        ["a", "b"].map(|name| scope.spawn(move || opened(name, 0))).map(|run| run.join().unwrap())
    });
    assert_eq!(first, second);
    let filled = files(&cache);
    assert_eq!(filled.len(), 6, "one file a case and nothing else: {filled:?}");
    let written = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
    let times: Vec<_> = filled.iter().map(written).collect();
    // Other training cases, other statistics, the same files.
    assert_ne!(opened("c", 1), first);
    assert_eq!(files(&cache), filled);
    assert_eq!(filled.iter().map(written).collect::<Vec<_>>(), times);
}

/// Changes one byte in the middle of a file, or at its start.
fn damage(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 1;
    write(path, bytes).unwrap();
}

#[test]
fn what_is_damaged_before_or_during_a_run_is_made_again_and_never_used() {
    let folder = tempfile::tempdir().unwrap();
    let cohort = Cohort::open(&phantoms(folder.path())).unwrap();
    let cache = folder.path().join("scnas-cache");
    let run = |name: &str| open(&cohort, &folder.path().join(name), &["data.keep=disk"]).unwrap();
    let before = run("a");
    let expected = bits(&seen(&before));
    let whole: Vec<Vec<u8>> = files(&cache).iter().map(|file| read(file).unwrap()).collect();
    let is_whole = |what: &str| {
        let now: Vec<Vec<u8>> = files(&cache).iter().map(|file| read(file).unwrap()).collect();
        assert!(now == whole, "{what}");
    };
    // Heads, lengths and files that are gone are seen when a run begins.
    let all = files(&cache);
    damage(&all[0], |_| 0);
    damage(&all[1], |_| 9);
    damage(&all[2], |_| 200);
    write(&all[3], &whole[3][..whole[3].len() - 1]).unwrap();
    write(&all[4], &whole[5]).unwrap();
    std::fs::remove_file(&all[5]).unwrap();
    let again = run("b");
    is_whole("before a run");
    assert_eq!(bits(&seen(&again)), expected);
    // Voxels and classes are seen when they are read.
    for (case, part) in [(0, 3), (1, 2), (2, 5)] {
        damage(&all[case], |length| length - length / part);
    }
    damage(&all[3], |length| length - 30);
    std::fs::remove_file(&all[4]).unwrap();
    assert_eq!(bits(&seen(&before)), expected);
    before.held_out.iter().chain(&before.training).for_each(|case| {
        let shape = case.facts().shape;
        case.window([0; 3], shape).unwrap();
        case.classes().unwrap();
    });
    is_whole("during a run");
}

#[test]
fn a_case_whose_files_change_is_made_again_and_a_run_in_the_middle_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = phantoms(folder.path());
    let cohort = Cohort::open(&data).unwrap();
    let cache = folder.path().join("scnas-cache");
    let run = |name: &str| open(&cohort, &folder.path().join(name), &["data.keep=disk"]).unwrap();
    let before = run("a");
    let name = before.training[0].facts().name.clone();
    let checksum = before.training[0].facts().checksum;
    let image = data.join("imagesTr").join(format!("{name}.nii.gz"));
    let label = data.join("labelsTr").join(format!("{name}.nii.gz"));
    // The label map, as numbers, is an image, too.
    std::fs::copy(&label, &image).unwrap();
    let after = run("b");
    assert_eq!(after.training[0].facts().name, name);
    assert_ne!(after.training[0].facts().checksum, checksum);
    assert_eq!(files(&cache).len(), 7, "of the others nothing was made again");
    // What the run before needs is there still; where it is lost, it cannot be made again.
    let shape = before.training[0].facts().shape;
    before.training[0].window([0; 3], shape).unwrap();
    for file in files(&cache) {
        damage(&file, |length| length / 2);
    }
    let lost = before.training[0].window([0; 3], shape).unwrap_err();
    assert!(
        matches!(&lost, Error::Cases(CasesFault::CaseChanged { case, .. }) if *case == name),
        "{lost}"
    );
    assert!(lost.to_string().contains("put them back"), "{lost}");
}
