//! The `scnas` command as a program.

#![deny(unsafe_code)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: volops::memory::Allocator = volops::memory::Allocator;

fn main() -> ExitCode {
    volops::memory::reserve_little();
    scnas_cli::main(std::env::current_exe().ok(), std::env::args_os())
}
