//! Settings, an architecture, a model or a checkpoint of any bytes: understood or refused, never a
//! panic. The first byte says which; the checksum of a model or checkpoint is made good.
#![no_main]

#[path = "../../crates/scnas/tests/support/sealed.rs"]
mod sealed;

use libfuzzer_sys::fuzz_target;
use scnas::network::architecture::Architecture;
use scnas::settings::Config;
use scnas::store::checkpoint;
use scnas::store::model::Model;

use sealed::sealed;

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    let file = tempfile::NamedTempFile::new().expect("a folder for temporary files");
    let kind = which % 3;
    let bytes = if kind == 2 { sealed(bytes.to_vec()) } else { bytes.to_vec() };
    std::fs::write(file.path(), bytes).expect("room for a temporary file");
    match kind {
        0 => drop(Config::load("default", Some(file.path()), &[])),
        1 => drop(Architecture::read(file.path())),
        _ => {
            let device = scnas::device("cpu").expect("a processor");
            drop(Model::read(file.path(), &device));
            drop(checkpoint::weights(file.path(), &device));
        }
    }
});
