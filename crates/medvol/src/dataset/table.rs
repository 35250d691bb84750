//! A CSV file of images and label maps: see [`Dataset::open`](super::Dataset::open) for its
//! columns.

use std::path::Path;

use csv::{Reader, ReaderBuilder, StringRecord, Trim};

use super::CaseFiles;
use crate::error::{Error, Result};
use crate::io::{Source, stem_and_ending};
use crate::open::open_file;

/// Where the columns stand.
struct Columns {
    images: Vec<usize>,
    label: Option<usize>,
    case: Option<usize>,
    subject: Option<usize>,
}

/// Cases with and without label maps.
pub(super) fn cases(
    path: &Path,
    problems: &mut Vec<String>,
) -> Result<(Vec<CaseFiles>, Vec<CaseFiles>)> {
    let file =
        open_file(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(file);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut cases = Vec::new();
    match columns(&mut reader) {
        Err(problem) => problems.push(format!("{name}: {problem}")),
        Ok(columns) => {
            for record in reader.records() {
                match record
                    .map_err(|error| error.to_string())
                    .and_then(|record| case(path, &columns, &record))
                {
                    Ok(case) => cases.push(case),
                    Err(problem) => problems.push(format!("{name}: {problem}")),
                }
            }
        }
    }
    Ok(cases.into_iter().partition(|case| case.label.is_some()))
}

fn columns(reader: &mut Reader<std::fs::File>) -> std::result::Result<Columns, String> {
    let headers = reader.headers().map_err(|error| error.to_string())?;
    let named = |name: &str| headers.iter().position(|header| header == name);
    let numbered: Vec<usize> =
        (0..headers.len()).map_while(|n| named(&format!("image_{n}"))).collect();
    let images = named("image").map_or(numbered, |column| vec![column]);
    if images.is_empty() {
        let found = headers.iter().collect::<Vec<_>>().join(", ");
        return Err(format!(
            "expected a first line with comma-separated columns \"image\" (or \"image_0\", \
             \"image_1\", …), \"label\" and, if wanted, \"case\" and \"subject\"; found {found:?}"
        ));
    }
    Ok(Columns { images, label: named("label"), case: named("case"), subject: named("subject") })
}

fn case(
    table: &Path,
    columns: &Columns,
    record: &StringRecord,
) -> std::result::Result<CaseFiles, String> {
    let folder = table.parent().unwrap_or(Path::new(""));
    let cell = |column: usize| record.get(column).filter(|text| !text.is_empty());
    let line = record.position().map_or(0, csv::Position::line);
    let images: Option<Vec<&str>> = columns.images.iter().map(|&column| cell(column)).collect();
    let images = images.ok_or_else(|| format!("line {line}: an image is missing"))?;
    let name = columns.case.and_then(cell).unwrap_or_else(|| stem_and_ending(images[0]).0);
    let source = |file: &str| Source::from(folder.join(file));
    Ok(CaseFiles {
        name: name.to_string(),
        images: images.iter().map(|image| source(image)).collect(),
        label: columns.label.and_then(cell).map(source),
        subject: columns.subject.and_then(cell).map(str::to_string),
    })
}

/// What to do where no JSON file lies beside the table.
pub(super) fn no_description(table: &Path) -> String {
    format!(
        "nothing says what its channels and labels mean; write {} beside it, such as \
         {{\"channel_names\": {{\"0\": \"MRI\"}}, \"labels\": {{\"background\": 0, \"tumour\": \
         1}}}}",
        table.with_extension("json").file_name().unwrap_or_default().to_string_lossy()
    )
}
