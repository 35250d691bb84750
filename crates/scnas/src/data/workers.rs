//! Work on many items by few workers: no more items are under way than there are workers, which is
//! what bounds memory. (In a pool of threads a thread that waits may begin with another item.)

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rayon::ThreadPoolBuilder;

use crate::error::Result;

/// Does `work` for 0 to `count`, first for `start` and those after it, by so many workers with their
/// share of the threads there are. After an error nothing new is begun.
///
/// # Errors
/// The first, in order, that was met.
pub fn shared_out<T: Send>(
    workers: usize,
    count: usize,
    start: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let threads = (rayon::current_num_threads() / workers.max(1)).max(1);
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done: Vec<Mutex<Option<Result<T>>>> = (0..count).map(|_| Mutex::new(None)).collect();
    let items = || {
        while !failed.load(Ordering::Relaxed) {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= count {
                break;
            }
            let item = (start + item) % count;
            let result = work(item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            if let Ok(mut place) = done[item].lock() {
                *place = Some(result);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers.clamp(1, count.max(1)) {
            // What a worker shares out itself must not wait for the threads that wait here.
            scope.spawn(|| match ThreadPoolBuilder::new().num_threads(threads).build() {
                Ok(own) => own.install(items),
                Err(_) => items(),
            });
        }
    });
    done.into_iter().filter_map(|place| place.into_inner().ok().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{CasesFault, Error};
    use rayon::prelude::*;

    #[test]
    fn results_stand_in_order_and_no_more_items_are_under_way_than_there_are_workers() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |item: usize| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Long enough, and shared out, so that a pool's thread would begin with another.
            let sum = (0..100_000_usize).into_par_iter().map(|n| n % (item + 1)).sum::<usize>();
            now.fetch_sub(1, Ordering::SeqCst);
            Ok((item, sum))
        };
        for (workers, start) in [(1, 0), (2, 17), (3, 39)] {
            most.store(0, Ordering::SeqCst);
            let found = shared_out(workers, 40, start, work).unwrap();
            assert!(found.iter().map(|&(item, _)| item).eq(0..40));
            assert!(most.load(Ordering::SeqCst) <= workers);
        }
        assert!(shared_out(2, 0, 0, work).unwrap().is_empty());
    }

    #[test]
    fn an_error_ends_the_work() {
        let begun = AtomicUsize::new(0);
        let found = shared_out(2, 1000, 0, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if item >= 5 { Err(CasesFault::Unread.into()) } else { Ok(item) }
        });
        assert!(matches!(found, Err(Error::Cases(CasesFault::Unread))) && begun.into_inner() < 10);
    }
}
