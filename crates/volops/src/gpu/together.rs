//! Launches that are put off, so that those that do the same to other volumes go out as one.
//!
//! A launch costs the calling thread microseconds whatever the kernel does, and the terms of a node do
//! much the same. So within [`together`] a [`Task`] is only noted down. When it ends, or when something
//! else is to read what a task makes, all go out: what is made before what reads it, and as many in one
//! launch as are alike.

use std::{any::Any, cell::RefCell, collections::HashMap, mem};

use super::Buffer;

/// What a kernel does to a volume, where one launch can do it to several.
pub(super) trait Task: Any {
    /// The buffers that it reads.
    fn reads(&self) -> Vec<&Buffer>;

    /// The buffers that it fills.
    fn fills(&self) -> Vec<&Buffer>;

    /// Whether one launch can do both.
    fn is_like(&self, other: &Self) -> bool;

    /// Launches `tasks`, which are all alike.
    fn launch(tasks: &[&Self]);
}

/// A task of whatever type.
trait AnyTask: Any {
    fn reads(&self) -> Vec<&Buffer>;
    fn fills(&self) -> Vec<&Buffer>;
    fn is_like(&self, other: &dyn AnyTask) -> bool;
    fn launch_with(&self, tasks: &[&dyn AnyTask]);
    fn as_any(&self) -> &dyn Any;
}

impl<T: Task> AnyTask for T {
    fn reads(&self) -> Vec<&Buffer> {
        Task::reads(self)
    }

    fn fills(&self) -> Vec<&Buffer> {
        Task::fills(self)
    }

    fn is_like(&self, other: &dyn AnyTask) -> bool {
        other.as_any().downcast_ref::<T>().is_some_and(|other| Task::is_like(self, other))
    }

    fn launch_with(&self, tasks: &[&dyn AnyTask]) {
        T::launch(
            &tasks.iter().filter_map(|task| task.as_any().downcast_ref()).collect::<Vec<_>>(),
        );
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

thread_local! {
    /// The tasks that were put off, in the order in which they came; none outside of [`together`].
    static PUT_OFF: RefCell<Option<Vec<Box<dyn AnyTask>>>> = const { RefCell::new(None) };
}

/// The result of `f`, whose tasks have all been launched then, many of them together.
pub fn together<R>(f: impl FnOnce() -> R) -> R {
    /// Nothing is left behind, should `f` panic.
    struct Opened;

    impl Drop for Opened {
        fn drop(&mut self) {
            PUT_OFF.set(None);
        }
    }

    if PUT_OFF.with_borrow(Option::is_some) {
        return f();
    }
    PUT_OFF.set(Some(Vec::new()));
    let opened = Opened;
    let result = f();
    settle();
    drop(opened);
    result
}

/// Launches `task`, or puts it off.
pub(super) fn launch(task: impl Task) {
    let at_once = PUT_OFF.with_borrow_mut(|put_off| match put_off {
        Some(tasks) => {
            tasks.push(Box::new(task));
            None
        }
        None => Some(task),
    });
    at_once.iter().for_each(|task| Task::launch(&[task]));
}

/// Whether a task that was put off reads or fills `buffer`.
pub(super) fn awaits(buffer: &Buffer) -> bool {
    any(|task| task.fills().into_iter().chain(task.reads()).any(|of| of.id() == buffer.id()))
}

/// Launches what was put off, if `buffer` is filled by it.
pub(super) fn settle_for(buffer: &Buffer) {
    if any(|task| task.fills().iter().any(|filled| filled.id() == buffer.id())) {
        settle();
    }
}

/// Whether `f` holds for a task that was put off.
fn any(f: impl Fn(&dyn AnyTask) -> bool) -> bool {
    PUT_OFF.with_borrow(|put_off| put_off.iter().flatten().any(|task| f(&**task)))
}

/// Launches what was put off.
pub(super) fn settle() {
    let tasks = PUT_OFF.with_borrow_mut(|put_off| put_off.as_mut().map(mem::take));
    launch_all(&tasks.unwrap_or_default());
}

/// A task that waits for others before it, by their numbers, and the number of its kind: tasks of
/// one kind are alike.
struct Waiting {
    kind: usize,
    after: Vec<usize>,
}

fn launch_all(tasks: &[Box<dyn AnyTask>]) {
    let mut first_of_kind: Vec<&dyn AnyTask> = Vec::new();
    let mut fillers = HashMap::new();
    let waiting = tasks.iter().enumerate().map(|(i, task)| {
        let known = first_of_kind.iter().position(|first| first.is_like(&**task));
        let kind = known.unwrap_or_else(|| {
            first_of_kind.push(&**task);
            first_of_kind.len() - 1
        });
        let reads = task.reads();
        let after = reads.iter().filter_map(|read| fillers.get(&read.id()).copied()).collect();
        fillers.extend(task.fills().iter().map(|filled| (filled.id(), i)));
        Waiting { kind, after }
    });
    let waiting: Vec<Waiting> = waiting.collect();
    let mut is_left = vec![true; tasks.len()];
    loop {
        let left = || (0..tasks.len()).filter(|&i| is_left[i]);
        let is_ready = |i: usize| waiting[i].after.iter().all(|&before| !is_left[before]);
        // A kind of which one has to wait still waits with it, unless all do.
        let is_whole = |kind: usize| left().all(|i| waiting[i].kind != kind || is_ready(i));
        let mut ready = left().filter(|&i| is_ready(i)).map(|i| waiting[i].kind).peekable();
        let Some(&first) = ready.peek() else { break };
        let kind = ready.find(|&kind| is_whole(kind)).unwrap_or(first);
        let together: Vec<usize> =
            left().filter(|&i| waiting[i].kind == kind && is_ready(i)).collect();
        let all: Vec<&dyn AnyTask> = together.iter().map(|&i| &*tasks[i]).collect();
        all[0].launch_with(&all);
        together.into_iter().for_each(|i| is_left[i] = false);
    }
}
