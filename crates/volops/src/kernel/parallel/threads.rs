//! Fork and join for pieces of work that take microseconds.
//!
//! A search step runs a thousand kernels of 10 to 1000 microseconds. Waking a sleeping thread costs
//! tens of microseconds, so the helpers of this pool look for the next kernel for a short while
//! before they go to sleep. There are as many threads as the rayon pool of the caller has, which
//! stays the one place where a program sets their number.

use std::any::Any;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};

/// Rounds a helper looks for work before it sleeps: some hundred microseconds, longer than what
/// lies between two kernels.
const ROUNDS: usize = 10_000;

/// Rounds the caller waits for a helper before it offers its core to others: a helper is late only
/// where cores are short.
const PATIENCE: usize = 2_000;

/// Most threads that work on one kernel.
const MAX_THREADS: usize = 128;

/// Calls `f(0), f(1), .. f(items - 1)`, each once, on the threads of the current rayon pool, and
/// returns when all are done.
///
/// Consecutive items go to the same thread, and the same ones in the next call, as far as nobody
/// has to wait: what one kernel leaves in a core's cache the next one finds there. Inside of `f`,
/// or while another thread is in here, the calls are made one after the other.
pub fn for_each(items: usize, f: impl Fn(usize) + Sync) {
    let threads = rayon::current_num_threads().min(items).min(MAX_THREADS);
    let pool = POOL.get_or_init(Pool::new);
    if threads < 2 || pool.busy.swap(true, Ordering::Acquire) {
        return (0..items).for_each(f);
    }
    pool.run(Job { f: &f, items, threads, panic: Mutex::new(None) });
}

static POOL: OnceLock<Pool> = OnceLock::new();

struct Pool {
    /// Whether somebody is in [`Pool::run`].
    busy: AtomicBool,
    /// The next item of each thread's share. Touched by the job at hand only.
    next: [Padded<AtomicUsize>; MAX_THREADS],
    helpers: [OnceLock<Helper>; MAX_THREADS],
    /// More threads than cores would only take time from those that work.
    cores: usize,
}

/// On a cache line of its own.
#[repr(align(128))]
struct Padded<T>(T);

/// A call of [`for_each`].
struct Job<'a> {
    f: &'a (dyn Fn(usize) + Sync),
    items: usize,
    threads: usize,
    /// The first panic of a helper.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// The other end of a helper thread.
struct Helper {
    /// Null: nothing to do. A job: offered, and still the caller's to take back. [`TAKEN`]: the
    /// helper is at work.
    job: Padded<AtomicPtr<Job<'static>>>,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

const TAKEN: *mut Job<'static> = ptr::without_provenance_mut(1);

impl Pool {
    fn new() -> Self {
        Self {
            busy: AtomicBool::new(false),
            next: [const { Padded(AtomicUsize::new(0)) }; MAX_THREADS],
            helpers: [const { OnceLock::new() }; MAX_THREADS],
            cores: thread::available_parallelism().map_or(1, usize::from),
        }
    }

    /// Only for the one caller that has set `busy`, which this clears.
    fn run(&'static self, mut job: Job) {
        for thread in 0..job.threads {
            self.next[thread].0.store(job.share(thread).start, Ordering::Relaxed);
        }
        // The lifetime is dropped here; every helper is done with the job when this function
        // returns.
        let shared = (&raw mut job).cast::<Job<'static>>();
        // SAFETY: the job is alive, and shared from here on: it is read only.
        let job = unsafe { &*shared };
        let helpers: Vec<&'static Helper> =
            (1..job.threads).map_while(|i| self.helper(i)).collect();
        for helper in &helpers {
            helper.offer(shared);
        }
        let mine = catch_unwind(AssertUnwindSafe(|| self.work(job, 0)));
        for helper in &helpers {
            helper.finish(shared);
        }
        self.busy.store(false, Ordering::Release);
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        if let Some(panic) = job.panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
            resume_unwind(panic);
        }
    }

    /// Does this thread's share of the items, then what is left of the others'.
    fn work(&self, job: &Job, thread: usize) {
        for share in (thread..job.threads).chain(0..thread) {
            let end = job.share(share).end;
            loop {
                let item = self.next[share].0.fetch_add(1, Ordering::Relaxed);
                if item >= end {
                    break;
                }
                (job.f)(item);
            }
        }
    }

    /// The `index`-th helper, started if need be; `None` where the system has no thread to give.
    fn helper(&'static self, index: usize) -> Option<&'static Helper> {
        let helper = self.helpers[index].get_or_init(|| Helper {
            job: Padded(AtomicPtr::new(ptr::null_mut())),
            asleep: AtomicBool::new(false),
            thread: OnceLock::new(),
        });
        if helper.thread.get().is_none() {
            let builder = thread::Builder::new().name(format!("volops-{index}"));
            let started = builder.spawn(move || self.help(helper, index)).ok()?;
            // Only one caller is here at a time.
            let _ = helper.thread.set(started.thread().clone());
        }
        Some(helper)
    }

    /// The life of a helper thread.
    fn help(&self, helper: &Helper, index: usize) {
        loop {
            let offered = helper.wait(if index < self.cores { ROUNDS } else { 0 });
            if helper
                .job
                .0
                .compare_exchange(offered, TAKEN, Ordering::Acquire, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            // SAFETY: the caller keeps an offered job alive until it has taken it back or the
            // helper is done.
            let job = unsafe { &*offered };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work(job, index))) {
                job.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
            }
            helper.job.0.store(ptr::null_mut(), Ordering::Release);
        }
    }
}

impl Job<'_> {
    fn share(&self, thread: usize) -> std::ops::Range<usize> {
        self.items * thread / self.threads..self.items * (thread + 1) / self.threads
    }
}

impl Helper {
    fn offer(&self, job: *mut Job<'static>) {
        // Sequentially consistent, like the two accesses in `wait`: either the helper sees the job
        // or this sees it asleep.
        self.job.0.store(job, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// The next job, sleeping after so many rounds in vain.
    fn wait(&self, rounds: usize) -> *mut Job<'static> {
        let mut round = 0;
        loop {
            let job = self.job.0.load(Ordering::Relaxed);
            if !job.is_null() {
                return job;
            }
            if round < rounds {
                round += 1;
                spin_loop();
                continue;
            }
            self.asleep.store(true, Ordering::SeqCst);
            if self.job.0.load(Ordering::SeqCst).is_null() {
                thread::park();
            }
            self.asleep.store(false, Ordering::Relaxed);
            round = 0;
        }
    }

    /// Takes the job back, or waits until the helper is done with it.
    fn finish(&self, job: *mut Job<'static>) {
        if self
            .job
            .0
            .compare_exchange(job, ptr::null_mut(), Ordering::Acquire, Ordering::Acquire)
            .is_ok()
        {
            return;
        }
        let mut round = 0;
        while !self.job.0.load(Ordering::Acquire).is_null() {
            if round < PATIENCE {
                round += 1;
                spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }
}
