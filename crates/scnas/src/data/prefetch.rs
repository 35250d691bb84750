//! Items prepared on a thread of their own, ahead of those who use them.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use rayon::ThreadPoolBuilder;

/// Items that may wait to be used. One is enough where each takes less time to prepare than to use;
/// the others even out the exceptions.
const AHEAD: usize = 2;

/// Runs `consume`, to which the thread that runs through `items` hands them in order. What
/// `consume` leaves is not prepared, but for the few that already are.
pub fn ahead<T: Send, R>(
    items: impl Iterator<Item = T> + Send,
    consume: impl FnOnce(Receiver<T>) -> R,
) -> R {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(AHEAD);
        // Sending fails when nobody receives any more.
        let send = move || items.map(|item| sender.send(item)).find(Result::is_err);
        // What is shared out among threads meanwhile must not wait for the pool whose threads wait
        // here for items.
        let own = ThreadPoolBuilder::new().num_threads(1).build();
        scope.spawn(move || match own {
            Ok(own) => own.install(send),
            Err(_) => send(),
        });
        consume(receiver)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn items_arrive_in_order_and_few_are_prepared_in_vain() {
        let prepared = AtomicUsize::new(0);
        let items = (0..1000).inspect(|_| {
            prepared.fetch_add(1, Ordering::Relaxed);
        });
        let used: Vec<usize> = ahead(items, |received| received.iter().take(5).collect());
        assert_eq!(used, [0, 1, 2, 3, 4]);
        assert!(prepared.load(Ordering::Relaxed) <= 5 + AHEAD + 1);
    }

    #[test]
    fn preparing_may_be_shared_out_while_every_thread_waits() {
        let items =
            (0..4_usize).map(|n| (0..1000_usize).into_par_iter().map(|i| i * n).sum::<usize>());
        let one = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let used: Vec<usize> = one.install(|| ahead(items, |received| received.iter().collect()));
        assert_eq!(used, [0, 499_500, 999_000, 1_498_500]);
    }

    #[test]
    fn all_items_arrive_and_then_no_more() {
        let used: Vec<usize> = ahead(0..7, |received| received.iter().collect());
        assert_eq!(used, (0..7).collect::<Vec<_>>());
    }
}
