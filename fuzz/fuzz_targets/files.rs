//! Settings, an architecture, a model or a checkpoint of any bytes: understood or refused, never a panic. The first byte says which; bytes
//! for a model or checkpoint are put where the checksum is right, so that what is behind it is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scnas::architecture::Architecture;
use scnas::config::Config;
use scnas::{checkpoint, model::Model};

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    let file = tempfile::NamedTempFile::new().expect("a folder for temporary files");
    let bytes = if which % 3 == 2 { sealed(bytes) } else { bytes.to_vec() };
    std::fs::write(file.path(), bytes).expect("room for a temporary file");
    match which % 3 {
        0 => drop(Config::load("default", Some(file.path()), &[])),
        1 => drop(Architecture::read(file.path())),
        _ => {
            let device = scnas::device("cpu").expect("a processor");
            drop(Model::read(file.path(), &device));
            drop(checkpoint::weights(file.path(), &device));
        }
    }
});

/// The checksum as the tensors' files have it, made good.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    let field = br#"{\"crc32\":\""#;
    if let Some(place) = file.windows(field.len()).position(|window| window == field).map(|at| at + field.len())
        && place + 8 <= file.len()
    {
        file[place..place + 8].copy_from_slice(b"00000000");
        let crc = format!("{:08x}", crc32fast::hash(&file));
        file[place..place + 8].copy_from_slice(crc.as_bytes());
    }
    file
}
