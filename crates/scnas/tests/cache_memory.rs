//! Memory that a run takes whose cases are held on disk: as much for many cases as for few.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use medvol::phantom::{PhantomTask, write_task};
use rayon::ThreadPoolBuilder;
use scnas::Silent;
use scnas::data::cohort::Cohort;
use scnas::data::plan::Plan;
use scnas::random::Stream;
use scnas::run::setup::Run;
use scnas::settings::Config;

/// The system's allocator, with the bytes that are held and were held at most.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` gives, the most bytes that were held beside those before, and those that stay.
fn counted<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = work();
    let [peak, held] = [&PEAK, &HELD].map(|bytes| bytes.load(Ordering::Relaxed) - before);
    (result, peak, held)
}

fn open<'a>(cohort: &'a Cohort, out: &Path, keep: &str) -> Run<'a> {
    let overrides = ["data.patch=[16, 16, 16]".into(), format!("data.keep={keep}")];
    let config = Config::load("default", None, &overrides).unwrap();
    let plan = Plan::new(cohort, &config).unwrap();
    Run::open(cohort, plan, out, config, scnas::device("cpu").unwrap(), &Silent).unwrap()
}

#[test]
fn many_cases_on_disk_take_no_more_memory_than_few() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let cases = 14;
    write_task(&data, &PhantomTask { seed: 5, cases, test_cases: 0, coarseness: 0.8 }).unwrap();
    let cohort = Cohort::open(&data).unwrap();
    let workers = 2;
    let pool = ThreadPoolBuilder::new().num_threads(workers).build().unwrap();
    let opened = |keep: &str| pool.install(|| open(&cohort, &folder.path().join(keep), keep));

    let (in_memory, _, held_by_all) = counted(|| opened("memory"));
    let all = in_memory.training.iter().chain(&in_memory.held_out);
    let largest = all.map(|case| case.facts().shape.iter().product::<usize>()).max().unwrap();
    drop(in_memory);
    // The image and its classes, what it is read as, and one channel between two axes.
    let of_one = (4 + 1 + 4 + 2 + 1 + 2 * 4) * largest * 5 / 4;
    assert!(held_by_all > workers * of_one, "{held_by_all} {of_one}: too few cases to tell");

    let (run, peak, held) = counted(|| opened("disk"));
    assert!(peak < workers * of_one, "{peak} bytes to fill, {of_one} for a case");
    assert!(held < cases * (16 << 10), "{held} bytes are held");
    // Once more, from what is there.
    drop(run);
    let (run, peak, _) = counted(|| opened("disk"));
    assert!(peak < cases * (32 << 10), "{peak} bytes to open");

    let members: Vec<usize> = (0..run.training.len()).collect();
    let (_, peak, _) = counted(|| {
        let mut patches = run.patches(true);
        patches.foreground = 1.0;
        let (places, varied) = (Stream::TrainPatches, Stream::TrainAugmentation);
        for draw in patches.draw(&members, 0, places, varied).unwrap() {
            patches.batch(&[draw]).unwrap();
        }
    });
    assert!(peak < 5 * largest / 2, "{peak} bytes for a patch, {} for a case", 5 * largest);
}
