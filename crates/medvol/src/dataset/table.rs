//! A CSV file of images and label maps: see [`Dataset::open`](super::Dataset::open) for its
//! columns. Whatever separates the columns, and with or without a byte order mark.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::entry::Entry;
use super::said::Said;
use super::words::{self, Word};

/// What may stand between columns.
const SEPARATORS: &[u8] = b",;\t|";

/// Where the columns stand.
struct Columns {
    images: Vec<usize>,
    label: Option<usize>,
    case: Option<usize>,
    subject: Option<usize>,
    fold: Option<usize>,
}

/// Cases with label maps, and without.
pub(super) fn cases(text: &str, said: &mut Said) -> [Vec<Entry>; 2] {
    // The line with which a table tells Excel its separator, is empty for us: lines keep their
    // numbers.
    let first = text.lines().next().unwrap_or("");
    let text = if first.starts_with("sep=") { &text[first.len()..] } else { text };
    let header = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    let separated = |separator: &u8| {
        let header = reader(header, *separator).headers().ok()?.clone();
        Some((columns(&header)?, header))
    };
    let Some((separator, (columns, headers))) =
        SEPARATORS.iter().find_map(|separator| Some((*separator, separated(separator)?)))
    else {
        said.problem(format!(
            "expected a first line with comma-separated columns \"image\" (or \"image_0\", \
             \"image_1\", …), \"label\" and, if wanted, \"case\", \"subject\" and \"fold\"; found \
             {header:?}"
        ));
        return [Vec::new(), Vec::new()];
    };
    columns.report(&headers, said);
    let mut cases = Vec::new();
    for record in reader(text, separator).records() {
        let case = record.map_err(|error| error.to_string()).and_then(|r| case(&columns, &r));
        match case {
            Ok(case) => cases.extend(case),
            Err(problem) => said.problem(problem),
        }
    }
    let (with, without) = cases.into_iter().partition(|case: &Entry| case.label.is_some());
    [with, without]
}

fn reader(text: &str, separator: u8) -> csv::Reader<&[u8]> {
    ReaderBuilder::new().trim(Trim::All).delimiter(separator).from_reader(text.as_bytes())
}

/// The columns of a table that has those of an image.
fn columns(headers: &StringRecord) -> Option<Columns> {
    let names: Vec<&str> = headers.iter().collect();
    let named = |name: &str| names.iter().position(|header| header.eq_ignore_ascii_case(name));
    let numbered = |word: &str| {
        (0..names.len()).map_while(|n| named(&format!("{word}_{n}"))).collect::<Vec<_>>()
    };
    let images = match Word::Image.position(&names) {
        Some(column) => vec![column],
        None => [numbered("image"), numbered("channel")].concat(),
    };
    let [label, case, subject, fold] =
        [Word::Label, Word::Case, Word::Subject, Word::Fold].map(|word| word.position(&names));
    (!images.is_empty()).then_some(Columns { images, label, case, subject, fold })
}

impl Columns {
    /// Says which columns are not used; one that should be a channel, or has a word that is used, is
    /// a problem.
    fn report(&self, headers: &StringRecord, said: &mut Said) {
        let others = [self.label, self.case, self.subject, self.fold];
        let used: Vec<usize> =
            self.images.iter().copied().chain(others.into_iter().flatten()).collect();
        for (column, name) in headers.iter().enumerate().filter(|(n, _)| !used.contains(n)) {
            let lower = name.to_lowercase();
            let again = used.iter().any(|&n| headers[n].eq_ignore_ascii_case(name));
            let number = lower.strip_prefix("image_").or_else(|| lower.strip_prefix("channel_"));
            let of_channel = number.is_some_and(|number| number.parse::<usize>().is_ok());
            if again || of_channel {
                let used = self.images.iter().map(|&n| &headers[n]).collect::<Vec<_>>().join(", ");
                said.problem(format!(
                    "column {} is {name:?}, which cannot be used beside the others: the images are in \
                     {used}; number the columns of channels image_0, image_1, … without gaps, and \
                     give each column its own name",
                    column + 1
                ));
            } else {
                words::unused(name, said);
            }
        }
    }
}

/// A row; nothing for one of empty cells, which spreadsheets leave behind.
fn case(columns: &Columns, record: &StringRecord) -> Result<Option<Entry>, String> {
    let cell = |column: usize| record.get(column).filter(|text| !text.is_empty());
    if record.iter().all(str::is_empty) {
        return Ok(None);
    }
    let place = format!("line {}", record.position().map_or(0, csv::Position::line));
    let text = |column: Option<usize>| column.and_then(cell).map(str::to_string);
    let images: Option<Vec<String>> =
        columns.images.iter().map(|&column| text(Some(column))).collect();
    let images = images.ok_or_else(|| format!("{place}: an image is missing"))?;
    let fold = columns.fold.and_then(cell).map(|fold| {
        let wrong = || format!("{place}: expected the number of a fold, 0 or more; found {fold:?}");
        super::entry::fold(&fold.into()).ok_or_else(wrong)
    });
    Ok(Some(Entry {
        images,
        label: text(columns.label),
        name: text(columns.case),
        subject: text(columns.subject),
        fold: fold.transpose()?,
        place,
    }))
}

/// What to do where no JSON file lies beside the table.
pub(super) fn no_description(table: &std::path::Path) -> String {
    format!(
        "nothing says what its channels and labels mean; write {} beside it, such as \
         {{\"channel_names\": {{\"0\": \"MRI\"}}, \"labels\": {{\"background\": 0, \"tumour\": \
         1}}}}",
        table.with_extension("json").file_name().unwrap_or_default().to_string_lossy()
    )
}
