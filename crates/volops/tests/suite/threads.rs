//! Pieces of work on threads: all are done once, whatever happens to one.

use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use volops::kernel::parallel::threads::for_each;

fn on_threads<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

#[test]
fn every_item_is_done_once_for_any_number_of_threads() {
    for threads in [1, 2, 3, 7] {
        on_threads(threads, || {
            for items in (0..40).chain([1000]) {
                let done: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                for_each(items, |i| _ = done[i].fetch_add(1, Ordering::Relaxed));
                assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 1));
            }
        });
    }
}

#[test]
fn a_call_inside_a_call_and_calls_from_many_threads_at_once_are_all_done() {
    let sum = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                on_threads(2, || {
                    for_each(10, |_| for_each(10, |i| _ = sum.fetch_add(i, Ordering::Relaxed)))
                })
            });
        }
    });
    assert_eq!(sum.into_inner(), 4 * 10 * 45);
}

#[test]
fn a_panic_in_an_item_reaches_the_caller_and_leaves_the_pool_usable() {
    on_threads(2, || {
        for bad in 0..8 {
            let caught = catch_unwind(|| for_each(8, |i| assert!(i != bad, "item {bad}")));
            assert!(caught.is_err());
            let done = AtomicUsize::new(0);
            for_each(8, |_| _ = done.fetch_add(1, Ordering::Relaxed));
            assert_eq!(done.into_inner(), 8);
        }
    });
}

#[test]
fn helpers_that_fell_asleep_wake_up_again() {
    on_threads(2, || {
        for _ in 0..5 {
            thread::sleep(std::time::Duration::from_millis(20));
            let done = AtomicUsize::new(0);
            for_each(100, |_| _ = done.fetch_add(1, Ordering::Relaxed));
            assert_eq!(done.into_inner(), 100);
        }
    });
}
