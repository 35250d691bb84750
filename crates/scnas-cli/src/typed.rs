//! What was typed: as the program understands it, and as arguments for another process.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, CommandFactory as _, FromArgMatches as _};

use crate::args::Cli;

/// A command line.
pub struct Typed {
    pub cli: Cli,
    /// What runs such commands; `None` where that is not known.
    pub program: Option<PathBuf>,
    matches: ArgMatches,
}

impl Typed {
    /// That of words, the program's name first; ends the process where help is wanted or usage is
    /// wrong.
    pub fn of_words(program: Option<PathBuf>, words: impl IntoIterator<Item = OsString>) -> Self {
        let matches = Cli::command().get_matches_from(words);
        Self::of(program, matches).unwrap_or_else(|error| error.exit())
    }

    /// That of arguments behind the program's name.
    pub fn parse(arguments: &[String]) -> Result<Self, clap::Error> {
        let words = std::iter::once("scnas").chain(arguments.iter().map(String::as_str));
        Self::of(None, Cli::command().try_get_matches_from(words)?)
    }

    fn of(program: Option<PathBuf>, matches: ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { cli: Cli::from_arg_matches(&matches)?, program, matches })
    }

    /// Whether a device was named.
    pub fn names_device(&self) -> bool {
        let command = Cli::command();
        is_given(self.verb(&command).1, "device")
    }

    /// The verb and its arguments, as they were given; but for those arguments that are `left_out`.
    ///
    /// # Errors
    /// One that is no text.
    pub fn given(&self, left_out: &[&str]) -> Result<Vec<String>> {
        let mut command = Cli::command();
        command.build();
        let (command, matches) = self.verb(&command);
        let mut words = vec![command.get_name().to_string()];
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            if left_out.contains(&id) || !is_given(matches, id) {
                continue;
            }
            let option = argument.get_long().map(|name| format!("--{name}"));
            for value in matches.get_raw_occurrences(id).into_iter().flatten().flatten() {
                let value = value.to_str().with_context(|| {
                    format!("{}: expected text in UTF-8; rename it", value.display())
                })?;
                words.push(match &option {
                    Some(option) if argument.get_action().takes_values() => {
                        format!("{option}={value}")
                    }
                    Some(option) => option.clone(),
                    None => value.to_string(),
                });
            }
        }
        Ok(words)
    }

    /// The innermost verb.
    fn verb<'a>(&'a self, command: &'a Command) -> (&'a Command, &'a ArgMatches) {
        let (mut command, mut matches) = (command, &self.matches);
        while let Some((name, inner)) = matches.subcommand() {
            let Some(verb) = command.find_subcommand(name) else { break };
            (command, matches) = (verb, inner);
        }
        (command, matches)
    }
}

fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(words: &[&str]) -> Typed {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        Typed::parse(&words).unwrap()
    }

    #[test]
    fn what_was_given_says_the_same_when_it_is_given_again() {
        let words = [
            "--threads",
            "2",
            "plan-jobs",
            "cross-validate",
            "a folder",
            "--set",
            "train.epochs=2",
            "--out=-cv",
            "--set",
            "data.patch=[16, 16, 16]",
            "--device",
            "cpu",
            "--folds",
            "0,2",
            "--write",
        ];
        let given = typed(&words).given(&["threads", "folds", "write"]).unwrap();
        let expected = [
            "cross-validate",
            "a folder",
            "--out=-cv",
            "--set=train.epochs=2",
            "--set=data.patch=[16, 16, 16]",
            "--device=cpu",
        ];
        assert_eq!(given, expected);
        let again = typed(&expected);
        assert_eq!(again.given(&[]).unwrap(), expected);
        assert!(again.names_device() && !typed(&expected[..5]).names_device());
    }
}
