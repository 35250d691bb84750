//! The server of `scnas view`: what it hands on, whom it answers, that it follows a run; and that a
//! browser shows it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use medvol::phantom::phantom;
use serde_json::Value;

use crate::common::*;

/// A program that serves; it ends with the test.
struct Viewing {
    child: Child,
    /// With the slash at its end.
    address: String,
}

impl Drop for Viewing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Viewing {
    fn start(folder: &Path, args: &[&str]) -> Self {
        let args = [&["view"], args, &["--no-browser", "--threads", "1"]].concat();
        let mut child = scnas(folder, &args).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().into() }
    }

    fn port(&self) -> u16 {
        self.address.split([':', '/']).nth(4).unwrap().parse().unwrap()
    }

    /// The path of the page: a slash, the secret, a slash.
    fn root(&self) -> &str {
        let start = self.address.find("127.0.0.1").unwrap();
        &self.address[start + self.address[start..].find('/').unwrap()..]
    }

    /// Status, head and body of the answer to a request that is written as it stands here.
    fn raw(&self, request: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, answer[end + 4..].to_vec())
    }

    fn get(&self, name: &str) -> (u16, String, Vec<u8>) {
        let root = self.root();
        self.raw(&format!(
            "GET {root}{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        ))
    }

    fn found(&self, name: &str) -> Vec<u8> {
        let (status, head, body) = self.get(name);
        assert_eq!(status, 200, "{name}: {head} {}", String::from_utf8_lossy(&body));
        body
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.found(name)).unwrap()
    }
}

/// An image of two channels and two label maps of other formats.
fn files(folder: &Path) -> [PathBuf; 3] {
    let (image, labels) = phantom(5, 0, 3.0);
    let paths = ["scan.mha", "reference.nrrd", "prediction.nii.gz"].map(|name| folder.join(name));
    write_image(&paths[0], &image).unwrap();
    write_labels(&paths[1], &labels).unwrap();
    let mut other = labels;
    let [depth, height, width] = other.shape();
    let corner = other.voxels.get_mut((depth / 2, height / 2, width / 2)).unwrap();
    *corner = if *corner == 2 { 1 } else { 2 };
    write_labels(&paths[2], &other).unwrap();
    paths
}

#[test]
fn what_is_served_has_the_voxels_and_the_place_of_the_files() {
    let folder = folder("view-files");
    let [image, reference, prediction] = files(&folder);
    let viewing = Viewing::start(&folder, &["scan.mha", "reference.nrrd", "prediction.nii.gz"]);
    let case = viewing.json("case/0.json");
    let image = read_image(&*image).unwrap();
    assert_eq!(case["channels"].as_array().unwrap().len(), image.voxels.dim().0);
    let names: Vec<&str> =
        case["maps"].as_array().unwrap().iter().map(|map| map["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["reference.nrrd", "prediction.nii.gz", "wrong voxels"]);

    let served = folder.join("served.nii");
    for channel in 0..image.voxels.dim().0 {
        std::fs::write(&served, viewing.found(&format!("case/0/image-{channel}.nii"))).unwrap();
        let found = read_image(&*served).unwrap();
        assert!(found.voxels.outer_iter().eq(image.voxels.outer_iter().skip(channel).take(1)));
        assert!(found.affine.approx_eq(&image.affine, image.shape(), 1e-3));
    }
    let maps = [reference, prediction].map(|path| read_labels(&*path).unwrap());
    for (n, map) in maps.iter().enumerate() {
        std::fs::write(&served, viewing.found(&format!("case/0/map-{n}.nii"))).unwrap();
        let found = read_labels(&*served).unwrap();
        assert!(found.voxels == map.voxels, "map {n}");
        assert!(found.affine.approx_eq(&image.affine, image.shape(), 1e-3));
    }
    // One voxel is wrong, and it is where one looks first.
    std::fs::write(&served, viewing.found("case/0/map-2.nii")).unwrap();
    let wrong = read_labels(&*served).unwrap();
    let differ = |index| maps[0].voxels[index] != maps[1].voxels[index];
    let mut count = 0;
    for (index, code) in wrong.voxels.indexed_iter() {
        assert_eq!(*code > 0, differ(index), "{index:?}");
        count += usize::from(*code > 0);
        if *code > 0 {
            let (k, j, i) = index;
            let mm = image.affine.apply([i, j, k].map(|at| at as f64));
            let focus: Vec<f64> = serde_json::from_value(case["focus_mm"].clone()).unwrap();
            assert!(mm.iter().zip(&focus).all(|(a, b)| (a - b).abs() < 1e-6), "{focus:?}");
        }
    }
    assert_eq!(count, 1);
    // NiiVue as it lies in the program.
    let (_, head, script) = viewing.get("niivue.js");
    assert!(head.contains("Content-Encoding: gzip") && script.starts_with(&[0x1f, 0x8b]), "{head}");
    assert!(String::from_utf8(viewing.found("licences.txt")).unwrap().contains("BSD 2-Clause"));
}

#[test]
fn a_picture_of_errors_wants_a_reference_and_a_prediction() {
    let folder = folder("view-picture");
    files(&folder);
    let maps = ["picture", "scan.mha", "reference.nrrd", "prediction.nii.gz"];
    let drawn = json(&folder, &[&maps[..], &["--errors", "--png", "errors.png"]].concat());
    assert_eq!(drawn["wrong"]["missed"]["name"], "red");
    assert!(bytes(folder.join("errors.png")).starts_with(b"\x89PNG"));
    let rows = json(&folder, &[&maps[..], &["--out", "rows.png"]].concat());
    assert_eq!(rows["labels"], drawn["labels"]);
    let one = [&maps[..3], &["--errors", "--out", "one.png"]].concat();
    refuse(&folder, &one, &["--errors", "expected two label maps", "found 1"]);
}

#[test]
fn whoever_does_not_know_the_secret_or_asks_by_another_name_or_for_a_path_is_refused() {
    let folder = folder("view-refusals");
    files(&folder);
    std::fs::write(folder.join("secret.txt"), "not to be seen").unwrap();
    let viewing = Viewing::start(&folder, &["scan.mha", "reference.nrrd"]);
    let root = viewing.root();
    assert_eq!(root.len(), 32 + 2, "{root}");
    let wrong = match root.as_bytes()[1] {
        b'0' => root.replacen('0', "1", 1),
        other => root.replacen(other as char, "0", 1),
    };
    let asked = |path: &str, hosts: &[&str]| {
        let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        let (status, head, body) =
            viewing.raw(&format!("GET {path} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n"));
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(!text.contains("not to be seen"));
        assert!(head.contains("Content-Security-Policy: default-src 'none'"), "{head}");
        (status, text)
    };
    let here = format!("127.0.0.1:{}", viewing.port());
    for host in [&here, "localhost", "LOCALHOST:8700"] {
        assert_eq!(asked(root, &[host]).0, 200, "{host}");
    }
    for host in
        ["example.org", "127.0.0.1.example.org", "example.org:80", "", "127.0.0.1@example.org"]
    {
        let (status, text) = asked(root, &[host]);
        assert!(
            status == 403 && text.contains("expected a request to 127.0.0.1"),
            "{host}: {text}"
        );
    }
    assert_eq!(asked(root, &[]).0, 403);
    assert_eq!(asked(root, &[&here, "example.org"]).0, 403);
    for path in
        ["/", "/state.json", &*wrong, &format!("{wrong}state.json"), &root[..33], "//", "/../"]
    {
        assert_eq!(asked(path, &[&here]).0, 403, "{path}");
    }
    for name in [
        "../",
        "../secret.txt",
        "secret.txt",
        "scan.mha",
        "%2e%2e/secret.txt",
        "case/0/../../secret.txt",
        "case/0/secret.txt",
        "case/1.json",
        "case/+0.json",
        "case/99999999999999999999999999.json",
        "case/0/image-7.nii",
        "case/0/map-1.nii",
        "case/0/map-.nii",
        "/etc/passwd",
    ] {
        assert_eq!(asked(&format!("{root}{name}"), &[&here]).0, 404, "{name}");
    }
    let post = format!(
        "POST {root} HTTP/1.1\r\nHost: {here}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(viewing.raw(&post).0, 405);
    // Another address of this machine is not listened on.
    #[cfg(target_os = "linux")]
    assert!(TcpStream::connect(("127.0.0.2", viewing.port())).is_err());

    let port = viewing.port().to_string();
    refuse(
        &folder,
        &["view", "scan.mha", "--no-browser", "--port", &port],
        &["--port", &port, "give another"],
    );
    refuse(&folder, &["view", "nothing", "--no-browser"], &["nothing"]);
    refuse(
        &folder,
        &["view", "scan.mha", "--data", "data", "--no-browser"],
        &["--data", "expected a run"],
    );
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it() {
    use std::os::unix::process::ExitStatusExt as _;

    let folder = folder("view-ends");
    files(&folder);
    let mut viewing = Viewing::start(&folder, &["scan.mha"]);
    viewing.found("case/0/image-0.nii");
    signal(&viewing.child, "INT");
    let start = Instant::now();
    let ended = loop {
        if let Some(ended) = viewing.child.try_wait().unwrap() {
            break ended;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it goes on");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(ended.signal(), Some(2));
}

/// A finished search in `folder/run` on the data in `folder/data`.
fn searched(folder: &Path) -> PathBuf {
    task(folder);
    succeed(folder, &tiny(&["search", "data", "--out", "run"], &[]));
    folder.join("run")
}

/// Takes back what a search in `run` has done after its first epoch, and writes the rest of its log
/// into `folder/rest`.
fn back_to_the_first_epoch(folder: &Path, run: &Path) {
    for file in ["result.json", "evaluation.json", "model.safetensors", "genotype.json"] {
        std::fs::remove_file(run.join(file)).unwrap();
    }
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    let (first, rest) = log.split_once('\n').unwrap();
    std::fs::write(run.join("log.jsonl"), format!("{first}\n")).unwrap();
    std::fs::write(folder.join("rest"), rest).unwrap();
}

#[test]
fn a_run_has_its_cases_the_worst_first_and_one_under_way_is_followed() {
    let folder = folder("view-run");
    let run = searched(&folder);
    let viewing = Viewing::start(&folder, &["run"]);
    let state = viewing.json("state.json");
    assert_eq!(state["over"], true);
    let cases = state["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 2);
    let dice: Vec<f64> =
        cases.iter().map(|case| case["dice"].as_str().unwrap().parse().unwrap()).collect();
    assert!(dice[0] <= dice[1], "{dice:?}");
    for case in cases {
        let (number, name) = (&case["number"], case["name"].as_str().unwrap());
        let described = viewing.json(&format!("case/{number}.json"));
        assert_eq!(described["maps"][1]["name"], "prediction");
        assert_eq!(described["labels"][0]["value"], 0);
        let served = folder.join("served.nii");
        std::fs::write(&served, viewing.found(&format!("case/{number}/map-1.nii"))).unwrap();
        let file = run.join(format!("predictions/{name}.nii.gz"));
        assert!(read_labels(&*served).unwrap().voxels == read_labels(&*file).unwrap().voxels);
    }
    // Images that have moved are asked for, and found where they are said to be.
    std::fs::rename(folder.join("data"), folder.join("moved")).unwrap();
    let viewing = Viewing::start(&folder, &["run"]);
    viewing.json("state.json");
    let (status, _, told) = viewing.get("case/0.json");
    let told = String::from_utf8(told).unwrap();
    assert!(status == 500 && told.lines().count() == 1, "{told}");
    let viewing = Viewing::start(&folder, &["run", "--data", "moved"]);
    viewing.json("state.json");
    assert_eq!(viewing.json("case/0.json")["channels"].as_array().unwrap().len(), 1);

    back_to_the_first_epoch(&folder, &run);
    let viewing = Viewing::start(&folder, &["run"]);
    let state = || viewing.json("state.json");
    let before = state();
    assert_eq!(
        (&before["over"], before["cases"].as_array().unwrap().len()),
        (&Value::Bool(false), 0)
    );
    assert!(before["lead"].as_str().unwrap().contains("the search is at epoch 1 of 2"));
    let rest = std::fs::read_to_string(folder.join("rest")).unwrap();
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    std::fs::write(run.join("log.jsonl"), log + &rest).unwrap();
    let after = state();
    assert!(after["lead"].as_str().unwrap().contains("the training is at epoch 2 of 2"));
    assert!(after["curves"] != before["curves"] && after["cells"] != before["cells"]);
    // One that has written its settings only.
    std::fs::remove_file(run.join("log.jsonl")).unwrap();
    assert!(state()["lead"].as_str().unwrap().contains("it has just begun"));
}

/// `NODE_PATH` is a folder `node_modules` with `playwright-core` and `axe-core`.
#[test]
#[ignore = "needs node with playwright-core and axe-core, and a browser that SCNAS_JUDGE_BROWSER names"]
fn a_browser_shows_every_part_of_the_view_and_finds_no_fault() {
    let folder = folder("view-browser");
    files(&folder);
    let run = searched(&folder);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/judge_view.cjs");
    let judge = |viewing: &Viewing, more: &[&str]| {
        let mut node = Command::new("node");
        node.arg(&script).arg(&viewing.address).args(more).current_dir(&folder);
        let judged = node.output().unwrap();
        assert!(judged.status.success(), "{}", stderr(&judged));
    };
    let maps = ["scan.mha", "reference.nrrd", "prediction.nii.gz"];
    judge(&Viewing::start(&folder, &maps), &[]);
    judge(&Viewing::start(&folder, &["run"]), &[]);
    back_to_the_first_epoch(&folder, &run);
    judge(&Viewing::start(&folder, &["run"]), &["--append", "run/log.jsonl", "rest"]);
}
