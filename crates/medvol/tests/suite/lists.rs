//! Lists of cases: folds in a description, a bare list, a table.

use std::fs;

use crate::common::task::{self, name};
use crate::dialects::{CASES, described, entry, is_clean, said, small, with};
use medvol::{Dataset, Fold};
use serde_json::{Value, json};

fn held_out(dataset: &Dataset) -> Vec<Vec<&str>> {
    let names = |fold: &'_ Fold| -> Vec<String> { fold.held_out.clone() };
    let folds: Vec<Vec<String>> = dataset.folds.iter().map(names).collect();
    let known: Vec<&str> = dataset.cases.iter().map(|case| case.name.as_str()).collect();
    folds
        .iter()
        .map(|fold| known.iter().copied().filter(|n| fold.iter().any(|f| f == n)).collect())
        .collect()
}

#[test]
fn a_validation_list_is_a_fold() {
    let mut description = with("training", (0..3).map(entry).collect());
    description["validation"] = json!([entry(3)]);
    description["numTraining"] = json!(3);
    let (_folder, root) = small(&description);
    let dataset = is_clean(&root);
    assert_eq!(dataset.cases.len(), CASES);
    assert_eq!(held_out(&dataset), [[name(3)]]);
    assert_eq!(dataset.folds[0].training, [name(0), name(1), name(2)]);
    // The same case on both sides is refused.
    task::change_description(&root, |json| json["training"][0] = entry(3));
    let message = Dataset::open(&root).unwrap_err().to_string();
    assert!(message.contains("training[0] and validation[0]"), "{message}");
}

#[test]
fn the_folds_of_the_cases_are_the_folds() {
    let folded = |case: usize, fold: Value| {
        let mut entry = entry(case);
        entry["fold"] = fold;
        entry
    };
    let mut entries: Vec<Value> = (0..3).map(|case| folded(case, json!(1 + case % 2))).collect();
    entries[1]["fold"] = json!("2");
    entries.push(entry(3));
    let (_folder, root) = small(&with("training", json!(&entries)));
    let dataset = Dataset::open(&root).unwrap();
    let unplaced = "warning 1 case(s), such as case_03, are held out in no fold";
    assert!(said(&root).contains(unplaced), "{}", said(&root));
    // Who asks for fold 1 is to know which it is.
    let numbered = "warning the folds of the cases are numbered [1, 2], and are counted from 0";
    assert!(said(&root).contains(numbered), "{}", said(&root));
    task::change_description(&root, |json| {
        for (entry, fold) in json["training"].as_array_mut().unwrap().iter_mut().zip(0..) {
            entry["fold"] = json!(format!("fold_{}", fold % 2));
        }
    });
    assert_eq!(held_out(&is_clean(&root)).len(), 2);
    task::change_description(&root, |json| json["training"] = json!(entries));
    assert_eq!(held_out(&dataset), [vec![name(0), name(2)], vec![name(1)]]);
    assert_eq!(dataset.folds[1].training, [name(0), name(2), name(3)]);
    // One fold of all cases leaves nothing to train with.
    let all = (0..CASES).map(|case| folded(case, json!(0))).collect();
    task::change_description(&root, |json| json["training"] = all);
    assert!(Dataset::open(&root).unwrap().folds.is_empty());
    assert!(said(&root).contains("warning all cases with a \"fold\" are in fold 0"));
}

#[test]
fn a_list_of_any_name_is_a_data_set() {
    let (_folder, root) = small(&described());
    let list = json!({"training": [entry(0), entry(1)], "validation": [entry(2)], "testing": [{"image": entry(3)["image"]}]});
    let path = root.join("fold0.json");
    fs::write(&path, list.to_string()).unwrap();
    assert!(Dataset::is_at(&path));
    // Channels and labels stand in dataset.json beside it.
    let dataset = is_clean(&path);
    assert_eq!((dataset.cases.len(), dataset.test.len(), dataset.channels.len()), (3, 1, 1));
    assert_eq!((dataset.name.as_str(), dataset.root.as_path()), ("fold0", root.as_path()));
    fs::remove_file(root.join("dataset.json")).unwrap();
    let message = Dataset::open(&path).unwrap_err().to_string();
    for part in ["fold0.json", "\"channel_names\" is missing", "\"labels\" is missing"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_list_of_labelled_cases_and_nothing_else_is_read() {
    let (_folder, root) = small(&described());
    let path = root.join("pairs.json");
    let write = |list: &Value| fs::write(&path, list.to_string()).unwrap();
    write(&json!((0..CASES).map(entry).collect::<Vec<_>>()));
    let dataset = is_clean(&path);
    assert_eq!((dataset.cases.len(), dataset.test.len(), dataset.channels.len()), (CASES, 0, 1));
    fs::remove_file(root.join("dataset.json")).unwrap();
    let message = Dataset::open(&path).unwrap_err().to_string();
    assert!(message.contains("\"labels\" is missing, as the file is a list"), "{message}");
    // What an image without a label map is for, nobody can know.
    for list in [json!([entry(0), {"image": "a.nii"}]), json!(["a.nii", "b.nii"]), json!([])] {
        write(&list);
        let message = Dataset::open(&path).unwrap_err().to_string();
        assert!(
            message.contains("pairs.json") && message.contains("list of cases, each"),
            "{message}"
        );
    }
}

#[test]
fn files_may_be_given_by_their_addresses() {
    let (_folder, root) = small(&described());
    let full = root.canonicalize().unwrap();
    let address = |case: usize| {
        let entry = entry(case);
        let of = |key: &str| {
            let path = entry[key].as_str().unwrap().replace("./", "").replace('_', "%5F");
            format!("file://{}/{path}", full.display())
        };
        json!({"image": of("image"), "label": of("label")})
    };
    let description = with("training", json!((0..CASES).map(address).collect::<Vec<_>>()));
    fs::write(root.join("dataset.json"), description.to_string()).unwrap();
    assert_eq!(is_clean(&root).cases.len(), CASES);
}

#[test]
fn a_table_may_be_written_by_any_spreadsheet() {
    let row = |case: usize| {
        format!("\"imagesTr\\{0}.nii.gz\",labelsTr/{0}.nii.gz,{1}\r\n", name(case), case % 2)
    };
    let rows: String = (0..CASES).map(row).collect();
    let text = format!("Image,LABEL,fold\r\n{rows},,\r\n");
    let utf16 = |text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xff, 0xfe].into_iter().chain(units).collect::<Vec<u8>>()
    };
    for bytes in [
        text.clone().into_bytes(),
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        utf16(&text.replace(',', "\t")),
        text.replace(',', ";").into_bytes(),
        format!("sep=;\r\n{}", text.replace(',', ";")).into_bytes(),
        text.replace("\r\n", "\r").into_bytes(),
        text.replace("Image", "Channel_0").into_bytes(),
    ] {
        let (_folder, root) = small(&described());
        let path = root.join("pairs.csv");
        fs::write(&path, &bytes).unwrap();
        task::change_description(&root, |json| {
            drop(json.as_object_mut().unwrap().remove("training"))
        });
        let dataset = is_clean(&path);
        assert_eq!(dataset.cases.len(), CASES, "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(held_out(&dataset), [vec![name(0), name(2)], vec![name(1), name(3)]]);
    }
}
