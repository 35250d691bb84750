//! Memory of this process and of the machine, as Linux tells. Elsewhere nothing is known.

use std::fs::read_to_string;
use std::path::Path;

/// Address space that a program reserves and never fills, at most: stacks, the allocator's
/// reserves.
const RESERVED: u64 = 256 << 20;

/// Bytes in use by this process.
pub fn in_use() -> Option<u64> {
    status("VmRSS:")
}

/// The most bytes this process has had in use.
pub fn peak() -> Option<u64> {
    status("VmHWM:")
}

/// Lets [`peak`] count anew from what is in use now, where the system can (Linux, proc(5)
/// "clear_refs").
pub fn forget_peak() {
    // Where it cannot, the peak is that since the start, and what is made of it too large rather
    // than too small.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Bytes this process may come to use in all: nine tenths of what is free on the machine and within
/// the limits of its control group and its address space (`ulimit -v`).
pub fn allowed() -> Option<u64> {
    let used = in_use()?;
    let machine =
        kib(&read_to_string("/proc/meminfo").ok()?, "MemAvailable:").map(|free| free + used);
    let addresses = volops::memory::address_space().map(|limit| {
        limit.saturating_sub(status("VmSize:").map_or(0, |size| (size - used).min(RESERVED)))
    });
    let least = [machine, control_group(), addresses].into_iter().flatten().min()?;
    Some(least / 10 * 9)
}

/// Bytes of [`allowed`] that are not yet in use.
pub fn free() -> Option<u64> {
    Some(allowed()?.saturating_sub(in_use()?))
}

/// A size in the unit that reads best.
pub fn text(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.2} GiB", mib / 1024.0) }
}

fn status(key: &str) -> Option<u64> {
    kib(&read_to_string("/proc/self/status").ok()?, key)
}

/// The bytes of a line like `VmRSS:  123 kB`.
fn kib(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.trim().strip_suffix("kB"))?;
    Some(value.trim().parse::<u64>().ok()? << 10)
}

/// The smallest limit of this process's control groups, from its own up to the root; of version 2
/// or 1.
fn control_group() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let limits = groups.lines().filter_map(|line| {
        let (root, file, path) = match line.strip_prefix("0::") {
            Some(path) => ("/sys/fs/cgroup", "memory.max", path),
            None => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", line.split_once(":memory:")?.1)
            }
        };
        let own = Path::new(root).join(path.trim_start_matches('/'));
        let limit =
            |folder: &Path| read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok();
        own.ancestors().take_while(|folder| folder.starts_with(root)).filter_map(limit).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_in_lines_of_kibibytes() {
        let text = "VmPeak:\t  9 kB\nVmRSS:\t  1200 kB\n";
        assert_eq!((kib(text, "VmRSS:"), kib(text, "VmHWM:")), (Some(1200 << 10), None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_allowed_is_more_than_what_is_used() {
        let used = in_use().unwrap();
        assert!(used > 0 && peak().unwrap() >= used / 2);
        assert!(allowed().unwrap() > used, "{} {used}", allowed().unwrap());
    }
}
