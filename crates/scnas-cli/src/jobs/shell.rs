//! Words for a shell.

/// A word as a POSIX shell takes it.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_shell_gives_back_every_word() {
        let words = ["plain-1_a.b/c=d", "", "a b", "it's", "$HOME `id` \\ \"x\"", "*", "ä\nb"];
        let line = words.map(quoted).join(" ");
        let script = format!("for word in {line}; do printf '%s\\0' \"$word\"; done");
        let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(
            String::from_utf8(said.stdout).unwrap(),
            words.map(|w| format!("{w}\0")).concat()
        );
        assert_eq!(quoted(words[0]), words[0]);
    }
}
