//! Several seeds of one cross-validation: folds and seeds in one table.

use std::path::Path;

use crate::error::Result;
use crate::report::finished::several_seeds;
use crate::report::html::markup::{note, table};

/// Tables of a cross-validation with several seeds; nothing of any other folder, or where nothing is
/// complete.
///
/// # Errors
/// Results that cannot be read, or that do not belong together.
pub fn section(folder: &Path) -> Result<String> {
    let Some((all, _)) = several_seeds(folder)? else { return Ok(String::new()) };
    let clean_up = all.clean_up_text();
    let clean_up = if clean_up.is_empty() { clean_up } else { note(clean_up.trim_end()) };
    let cases = table("Dice by seed", &all.rows(), 1);
    Ok(format!("{cases}{}{clean_up}", table("Mean Dice and its error", &all.estimates(), 1)))
}
