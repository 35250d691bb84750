//! The machine in words, as far as Linux tells.

use std::fs::read_to_string;

/// The processor and the threads that are worked with.
pub fn described() -> String {
    let cpus = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = model(&cpus).unwrap_or(std::env::consts::ARCH);
    match rayon::current_num_threads() {
        1 => format!("{name}, 1 thread"),
        threads => format!("{name}, {threads} threads"),
    }
}

/// The first processor's name.
fn model(cpus: &str) -> Option<&str> {
    let line = cpus.lines().find_map(|line| line.strip_prefix("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_has_the_name_that_the_system_gives_it() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2.5GHz\nflags\t: fpu\nmodel name\t: B\n";
        assert_eq!((model(text), model("processor\t: 0\n")), (Some("A CPU @ 2.5GHz"), None));
        assert!(described().contains("thread"));
    }
}
