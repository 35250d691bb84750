//! Parts of messages.

/// The lines of an error of TOML's reader below each other.
pub(super) fn indented(error: &toml::de::Error) -> String {
    error.to_string().trim_end().replace('\n', "\n  ")
}

/// What TOML's reader says, behind a sentence.
pub(super) fn bracketed(reason: &Option<Box<toml::de::Error>>) -> String {
    reason.as_ref().map_or_else(String::new, |reason| format!(" ({})", reason.message()))
}

/// All of several texts.
pub(super) fn joined(parts: &[impl ToString]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The first of many names.
pub fn shortened(names: &[String]) -> String {
    let more = names.len().saturating_sub(3);
    let first = names[..names.len() - more].join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

/// Folds by number, with their verb.
pub(super) fn numbered(folds: &[usize]) -> String {
    let numbers: Vec<String> = folds.iter().map(usize::to_string).collect();
    match &numbers[..] {
        [one] => format!("fold {one} is"),
        many => format!("folds {} are", many.join(", ")),
    }
}

/// Folds of several seeds.
pub(super) fn numbered_by_seed(folds: &[(u64, usize)]) -> String {
    let of_seed = |of: &[(u64, usize)]| {
        let folds: Vec<usize> = of.iter().map(|(_, fold)| *fold).collect();
        format!("of seed {} {}", of[0].0, numbered(&folds))
    };
    folds.chunk_by(|(a, _), (b, _)| a == b).map(of_seed).collect::<Vec<_>>().join(", ")
}

/// One seed, or several.
pub(super) fn number_of_seeds(several: bool) -> &'static str {
    if several { "several seeds" } else { "one seed" }
}

/// Who works on folds, if anybody does.
pub(super) fn worked_on(folds: &[usize]) -> String {
    if folds.is_empty() { String::new() } else { format!("; others work on {folds:?}") }
}
