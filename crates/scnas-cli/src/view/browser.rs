//! Opening the browser of the user.

use std::io::{Error, ErrorKind, Result};
use std::process::{Command, Stdio};

/// Opens an address in the browser that the system calls its own, without waiting for it.
pub fn open(address: &str) -> Result<()> {
    let command: &[&str] = match std::env::consts::OS {
        "windows" => &["cmd", "/C", "start", ""],
        "macos" => &["open"],
        _ => {
            // Without a display one that takes over the terminal might be opened.
            let display = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            if !display("DISPLAY") && !display("WAYLAND_DISPLAY") {
                return Err(Error::new(ErrorKind::NotFound, "there is no display"));
            }
            &["xdg-open"]
        }
    };
    let (program, before) = (command[0], &command[1..]);
    let mut browser = Command::new(program)
        .args(before)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Error::new(error.kind(), format!("{program}: {error}")))?;
    // It is in nobody's way once it has ended.
    std::thread::spawn(move || browser.wait());
    Ok(())
}
