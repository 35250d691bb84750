//! What the neighbours call what is known of a case: keys of lists, columns of tables.

use super::said::Said;

/// What is known of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Image,
    Label,
    Case,
    Subject,
    Fold,
}

impl Word {
    /// Our own name first, then those of others whose meaning is certain; in small letters.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Image => &["image", "images", "img", "image_path", "img_path"],
            Self::Label => &[
                "label",
                "labels",
                "mask",
                "seg",
                "segmentation",
                "label_path",
                "mask_path",
                "seg_path",
                "gt",
                "ground_truth",
                "groundtruth",
                "annotation",
            ],
            Self::Case => &["case", "case_id", "caseid"],
            Self::Subject => &[
                "subject",
                "subject_id",
                "subjectid",
                "patient",
                "patient_id",
                "patientid",
                "participant_id",
            ],
            Self::Fold => &["fold"],
        }
    }

    /// Which of the keys or columns `given` stands for it, in capitals or not, perhaps with a colon
    /// too many: the first of its names that is there.
    pub(super) fn position(self, given: &[&str]) -> Option<usize> {
        let plain = |key: &str| key.trim_end_matches([':', ' ']).trim_start().to_lowercase();
        let at = |name: &&str| given.iter().position(|key| plain(key) == **name);
        self.names().iter().find_map(at)
    }
}

/// The name of a case, of a file's name without ending that says that the file is its label map:
/// `case_1` of `case_1_seg`, nothing of `seg`.
pub fn case_of_label_map(name: &str) -> Option<&str> {
    let lower = name.to_ascii_lowercase();
    let word = |word: &&str| {
        let rest = lower.strip_suffix(*word)?;
        let case = rest.strip_suffix(['_', '-', '.', ' ']).filter(|case| !case.is_empty());
        case.map(str::len).or(rest.is_empty().then_some(0))
    };
    Word::Label.names().iter().find_map(word).map(|length| &name[..length])
}

/// Words that say who is held out, in a way that is not read.
const HELD_OUT: &[&str] = &["split", "set", "subset", "partition", "phase"];

/// Says that a key or a column is not used.
pub(super) fn unused(key: &str, said: &mut Said) {
    let name = key.trim();
    if HELD_OUT.contains(&name.to_lowercase().as_str()) {
        let text = format!("{name:?} of the cases is not used");
        // Each case has it.
        if said.notices.iter().all(|notice| notice.text != text) {
            said.notice(text, "say who is held out by the number of a \"fold\"");
        }
    } else if !name.is_empty() {
        said.unknown.insert(format!("{name} (of cases)"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_by_its_name_that_it_is_a_label_map() {
        for (name, case) in [
            ("case_1_seg", Some("case_1")),
            ("case_1-GT", Some("case_1")),
            ("case.1.labels", Some("case.1")),
            ("Segmentation", Some("")),
            ("case_1", None),
            ("caseseg", None),
            ("_seg", None),
        ] {
            assert_eq!(case_of_label_map(name), case, "{name}");
        }
    }

    #[test]
    fn our_own_word_is_taken_before_those_of_others_and_capitals_do_not_matter() {
        for (word, given, expected) in [
            (Word::Label, &["seg", "Label"][..], Some(1)),
            (Word::Label, &["image", "Mask"], Some(1)),
            (Word::Subject, &["image", "Patient_ID"], Some(1)),
            (Word::Fold, &["image", "split"], None),
            (Word::Fold, &["image", "fold: "], Some(1)),
        ] {
            assert_eq!(word.position(given), expected, "{given:?}");
        }
    }
}
