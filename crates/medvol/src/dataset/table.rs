//! A CSV file of images and label maps: see [`Dataset::open`](super::Dataset::open) for its
//! columns. Whatever separates the columns, and with or without a byte order mark.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::entry::Entry;
use super::said::Said;

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
        columns(&header)
    };
    let Some((separator, columns)) =
        SEPARATORS.iter().find_map(|separator| Some((*separator, separated(separator)?)))
    else {
        said.problem(format!(
            "expected a first line with comma-separated columns \"image\" (or \"image_0\", \
             \"image_1\", …), \"label\" and, if wanted, \"case\", \"subject\" and \"fold\"; found \
             {header:?}"
        ));
        return [Vec::new(), Vec::new()];
    };
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

fn columns(headers: &StringRecord) -> Option<Columns> {
    let names: Vec<String> = headers.iter().map(str::to_lowercase).collect();
    let named = |name: &str| names.iter().position(|header| header == name);
    let numbered = |word: &str| {
        (0..names.len()).map_while(|n| named(&format!("{word}_{n}"))).collect::<Vec<_>>()
    };
    let images = match named("image") {
        Some(column) => vec![column],
        None => [numbered("image"), numbered("channel")].concat(),
    };
    let columns = Columns {
        label: named("label"),
        case: named("case"),
        subject: named("subject").or_else(|| named("subjectid")),
        fold: named("fold"),
        images,
    };
    (!columns.images.is_empty()).then_some(columns)
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
        fold.parse().map_err(|_| wrong())
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
