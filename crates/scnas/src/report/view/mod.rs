//! Cases and the progress of a run to look at in a browser: the pages and volumes that `scnas view`
//! serves. Nothing here knows of a network: a name of what is asked for is answered, any other is
//! not. No name is ever taken for a path.
//!
//! Images of every format are handed on as NIfTI, which is all that the viewer, NiiVue, has to read.

mod state;
mod volumes;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use medvol::io;

use crate::error::{Error, Place, Result};
use crate::report::finished::seed_folders;
use crate::report::held_out::HeldOut;
use crate::report::html;
use crate::report::html::markup::escape;
use crate::report::html::subject::Subject;
use crate::space::draw;
use volumes::Volumes;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("view.css");
const SCRIPT: &str = include_str!("view.js");

/// NiiVue as npm has it, compressed by gzip.
const NIIVUE: &[u8] = include_bytes!("niivue/niivue.umd.js.gz");

/// What must be handed on with it.
const LICENCES: &str = include_str!("niivue/LICENCES.txt");

/// What is looked at.
#[derive(Debug)]
pub struct View {
    name: String,
    shown: Shown,
    /// The case that was asked for last: its volumes are asked for one by one.
    last: Mutex<Option<(usize, Arc<Volumes>)>>,
}

#[derive(Debug)]
enum Shown {
    /// A run or a cross-validation, finished or not.
    Run {
        path: PathBuf,
        data: Option<HeldOut>,
        /// The names of the cases by their numbers, which stay what they are.
        cases: Mutex<Vec<String>>,
    },
    /// An image with label maps on its grid.
    Files { image: PathBuf, maps: Vec<PathBuf> },
}

/// What is sent to the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its media type.
    pub media: &'static str,
    /// Whether it is compressed by gzip.
    pub is_gzip: bool,
    /// The bytes.
    pub bytes: Cow<'static, [u8]>,
}

impl Answer {
    fn new(media: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        Self { media, is_gzip: false, bytes: Cow::Owned(bytes.into()) }
    }
}

impl View {
    /// Of a run or a cross-validation. `data` is the data set with its images, where it does not lie
    /// where the run found it.
    ///
    /// # Errors
    /// Files that cannot be read or understood; a folder without anything of a run.
    pub fn of_run(path: &Path, data: Option<&Path>) -> Result<Self> {
        // What is wrong is said at once.
        if let Some(seed) = seed_folders(path).into_values().next() {
            return Err(Error::place(path, Place::SeveralSeeds { seed }));
        }
        let subject = Subject::read(path)?;
        let data = data.map(HeldOut::of_data).transpose()?;
        let shown = Shown::Run { path: path.into(), data, cases: Mutex::default() };
        Ok(Self { name: subject.name, shown, last: Mutex::default() })
    }

    /// Of an image and label maps on its grid; of two, the first is the reference of the second.
    ///
    /// # Errors
    /// Files that cannot be read, maps that do not lie on the image.
    pub fn of_files(image: &Path, maps: &[PathBuf]) -> Result<Self> {
        let shown = Shown::Files { image: image.into(), maps: maps.to_vec() };
        let view = Self { name: image.display().to_string(), shown, last: Mutex::default() };
        view.volumes(0)?;
        Ok(view)
    }

    /// The answer to a name; `None` of what there is not.
    ///
    /// # Errors
    /// Files that cannot be read or understood by now; [`Error::Memory`].
    pub fn answer(&self, name: &str) -> Result<Option<Answer>> {
        let script = "text/javascript; charset=utf-8";
        Ok(match name {
            "" => {
                let page = PAGE.replace("{{name}}", &escape(&self.name));
                Some(Answer::new("text/html; charset=utf-8", page))
            }
            "style.css" => {
                let style = [draw::STYLE, html::STYLE, STYLE].concat();
                Some(Answer::new("text/css; charset=utf-8", style))
            }
            "view.js" => Some(Answer::new(script, format!("{}{SCRIPT}", html::SCRIPT))),
            "niivue.js" => {
                Some(Answer { media: script, is_gzip: true, bytes: Cow::Borrowed(NIIVUE) })
            }
            "licences.txt" => Some(Answer::new("text/plain; charset=utf-8", LICENCES)),
            "state.json" => Some(Answer::new("application/json", self.state()?.to_string())),
            _ => match name.strip_prefix("case/") {
                Some(asked) => self.of_case(asked)?,
                None => None,
            },
        })
    }

    /// `3.json`: what there is of case 3. `3/image-0.nii`, `3/map-1.nii`: its volumes.
    fn of_case(&self, asked: &str) -> Result<Option<Answer>> {
        let (number, part) = match asked.split_once('/') {
            Some((number, part)) => (number, Some(part)),
            None => (asked.strip_suffix(".json").unwrap_or(""), None),
        };
        let Some(number) = number_of(number).filter(|number| self.has_case(*number)) else {
            return Ok(None);
        };
        let volumes = self.volumes(number)?;
        let Some(part) = part else {
            return Ok(Some(Answer::new("application/json", volumes.described().to_string())));
        };
        let part = part.strip_suffix(".nii").and_then(|part| part.split_once('-'));
        let bytes = match part.map(|(kind, n)| (kind, number_of(n))) {
            Some(("image", Some(channel))) => volumes.channel(channel)?,
            Some(("map", Some(map))) => volumes.map(map)?,
            _ => None,
        };
        Ok(bytes.map(|bytes| Answer::new("application/octet-stream", bytes)))
    }

    fn has_case(&self, number: usize) -> bool {
        match &self.shown {
            Shown::Run { cases, .. } => {
                number < cases.lock().unwrap_or_else(PoisonError::into_inner).len()
            }
            Shown::Files { .. } => number == 0,
        }
    }

    /// The volumes of a case that there is.
    fn volumes(&self, number: usize) -> Result<Arc<Volumes>> {
        // One case at a time is read, as often as it may be asked for.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, volumes)) = last.as_ref().filter(|(last, _)| *last == number) {
            return Ok(volumes.clone());
        }
        // Memory for another.
        *last = None;
        let volumes = match &self.shown {
            Shown::Files { image, maps } => Volumes::of_files(image, maps)?,
            Shown::Run { path, data, cases } => {
                let names = cases.lock().unwrap_or_else(PoisonError::into_inner);
                let case = names.get(number).cloned().unwrap_or_default();
                drop(names);
                let subject = Subject::read(path)?;
                let found = Volumes::of_case(&subject, data.as_ref(), &case)?;
                found.ok_or_else(|| Error::place(path, Place::NoCase { case }))?
            }
        };
        let volumes = Arc::new(volumes);
        *last = Some((number, volumes.clone()));
        Ok(volumes)
    }
}

/// A number as the page writes it.
fn number_of(text: &str) -> Option<usize> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Whether a path is looked at as a run: a folder, unless it is an image in slices.
pub fn is_run(path: &Path) -> bool {
    path.is_dir() && !io::is_image(path)
}
