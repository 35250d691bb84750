//! The Python package on the library as cargo builds it, without a wheel.

use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "needs a Python with numpy and pytest, which SCNAS_TEST_PYTHON names"]
fn the_python_package_passes_its_own_tests() {
    let python = std::env::var_os("SCNAS_TEST_PYTHON");
    let python = python.expect("SCNAS_TEST_PYTHON is not set: expected a Python with pytest");
    let (source, folder) = (Path::new(env!("CARGO_MANIFEST_DIR")), env!("CARGO_TARGET_TMPDIR"));
    let folder = Path::new(folder).join("python");
    let package = folder.join("scnas");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&package).unwrap();
    for entry in std::fs::read_dir(source.join("python/scnas")).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            std::fs::copy(entry.path(), package.join(entry.file_name())).unwrap();
        }
    }
    // Cargo leaves it beside this program.
    let program = std::env::current_exe().unwrap();
    let beside = program.parent().unwrap();
    let name = format!("{}_scnas{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    std::fs::copy(beside.join(name), package.join("_scnas.abi3.so")).unwrap();
    let command = folder.join("command");
    let script = "import sys\nfrom scnas import main\nsys.exit(main())\n";
    let script = format!("#!{}\n{script}", python.to_str().unwrap());
    std::fs::write(&command, script).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let tested = Command::new(&python)
        .args(["-m", "pytest", "--quiet", "-p", "no:cacheprovider"])
        .arg(source.join("tests"))
        .env("PYTHONPATH", &folder)
        .env("SCNAS_COMMAND", &command)
        .status();
    assert!(tested.unwrap().success(), "pytest found a fault");
}
