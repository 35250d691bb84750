//! The names of data files in a text header: one, a list, or a pattern with numbers.

use std::borrow::Cow;

use super::fault::HeaderFault;

/// The files that hold the voxels of a header.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FileNames {
    /// All of them in one.
    One(String),
    /// One behind the other, each with an array of so many dimensions (one less than the whole has
    /// where nothing is said).
    List(Vec<String>, Option<usize>),
    /// The same, with names by number.
    Numbered(Numbered, Option<usize>),
}

/// `slice_%03d.raw 1 120 1`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbered {
    before: String,
    /// Digits at least, filled up with zeros or blanks.
    width: usize,
    zeros: bool,
    after: String,
    first: i64,
    last: i64,
    step: i64,
}

impl FileNames {
    /// The names, in the order of the voxels.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        match self {
            Self::One(name) => Box::new(std::iter::once(name.into())),
            Self::List(names, _) => Box::new(names.iter().map(Cow::from)),
            Self::Numbered(names, _) => Box::new((0..names.count()).map(|n| names.name(n).into())),
        }
    }

    /// The number of files, which must be the one that an array of `sizes` (the fastest axis first)
    /// is made of.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn check_count(&self, sizes: &[usize]) -> Result<u64, HeaderFault> {
        let (found, dimensions) = match self {
            Self::One(_) => return Ok(1),
            Self::List(names, dimensions) => (names.len() as u64, *dimensions),
            Self::Numbered(names, dimensions) => (names.count(), *dimensions),
        };
        let all = sizes.len();
        let dimensions = dimensions.unwrap_or(all.saturating_sub(1));
        let product =
            |sizes: &[usize]| sizes.iter().fold(1_u64, |all, &n| all.saturating_mul(n as u64));
        if !(1..=all).contains(&dimensions) {
            let expected = "one or more, and no more than the whole has";
            return Err(HeaderFault::value("dimensions of a data file", expected, dimensions));
        }
        let expected = product(&sizes[dimensions..]);
        let slowest = product(&sizes[all - 1..]);
        // Files of all dimensions share the slowest one.
        let whole = dimensions == all && found > 0 && slowest.is_multiple_of(found);
        if found == expected || whole {
            Ok(found)
        } else {
            Err(HeaderFault::FileCount { found, expected, sizes: sizes.to_vec() })
        }
    }
}

impl Numbered {
    /// A pattern with the numbers of its first and last file and the step (1 where there is none).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(pattern: &str, numbers: [i64; 3]) -> Result<Self, HeaderFault> {
        let [first, last, step] = numbers;
        let (before, rest) = pattern.split_once('%').unwrap_or((pattern, ""));
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let width = &rest[..rest.len() - digits.len()];
        let after = digits.strip_prefix(['d', 'i', 'u']).filter(|after| !after.contains('%'));
        let (Some(after), Ok(parsed), true) =
            (after, format!("0{width}").parse(), width.len() <= 2)
        else {
            let expected = "one number in it, as in slice_%03d.raw";
            return Err(HeaderFault::value("pattern of data files", expected, pattern));
        };
        if step == 0 || (last < first) != (step < 0) && last != first {
            let expected = "a first, a last, and a step from one to the other";
            let found = format!("{first} {last} {step}");
            return Err(HeaderFault::value("numbers of data files", expected, found));
        }
        let (before, after) = (before.to_string(), after.to_string());
        let zeros = width.starts_with('0');
        Ok(Self { before, width: parsed, zeros, after, first, last, step })
    }

    fn count(&self) -> u64 {
        (self.last.abs_diff(self.first) / self.step.unsigned_abs()).saturating_add(1)
    }

    fn name(&self, n: u64) -> String {
        let Self { before, width, after, .. } = self;
        // Between the first number and the last.
        let number = self.first.wrapping_add(self.step.wrapping_mul(n as i64));
        match self.zeros {
            true => format!("{before}{number:0width$}{after}"),
            false => format!("{before}{number:width$}{after}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(pattern: &str, numbers: [i64; 3]) -> Result<Vec<String>, HeaderFault> {
        let names = FileNames::Numbered(Numbered::new(pattern, numbers)?, None);
        Ok(names.iter().map(Cow::into_owned).collect())
    }

    #[test]
    fn patterns_count_up_and_down() {
        assert_eq!(numbered("a%02d.raw", [9, 11, 1]).unwrap(), ["a09.raw", "a10.raw", "a11.raw"]);
        assert_eq!(numbered("%d", [5, 0, -2]).unwrap(), ["5", "3", "1"]);
        assert_eq!(numbered("x%3i", [7, 7, 4]).unwrap(), ["x  7"]);
        for (pattern, numbers) in
            [("a", [1, 2, 1]), ("%d%d", [1, 2, 1]), ("%s", [1, 2, 1]), ("%999d", [1, 2, 1])]
        {
            let fault = numbered(pattern, numbers).unwrap_err();
            assert!(
                matches!(&fault, HeaderFault::Value { found, .. } if found == pattern),
                "{fault}"
            );
        }
        assert!(numbered("%d", [1, 2, 0]).is_err());
        assert!(numbered("%d", [1, 2, -1]).is_err());
        // As many as there can be: counted, not made.
        let names = Numbered::new("%d", [i64::MIN, i64::MAX, 1]).unwrap();
        assert!(FileNames::Numbered(names, None).check_count(&[2, 3]).is_err());
    }

    #[test]
    fn there_are_as_many_files_as_the_sizes_ask_for() {
        let names = |n: usize, dimensions| FileNames::List(vec!["x".into(); n], dimensions);
        assert_eq!(names(4, None).check_count(&[2, 3, 4]), Ok(4));
        assert_eq!(names(12, Some(1)).check_count(&[2, 3, 4]), Ok(12));
        assert_eq!(names(2, Some(3)).check_count(&[2, 3, 4]), Ok(2));
        let sizes = vec![2, 3, 4];
        assert_eq!(
            names(3, None).check_count(&sizes),
            Err(HeaderFault::FileCount { found: 3, expected: 4, sizes })
        );
        assert!(names(3, Some(3)).check_count(&[2, 3, 4]).is_err());
        assert!(names(4, Some(0)).check_count(&[2, 3, 4]).is_err());
        assert!(names(0, Some(3)).check_count(&[2, 3, 4]).is_err());
    }
}
