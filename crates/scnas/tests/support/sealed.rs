/// A file of tensors with its checksum made good, so that what is behind it is reached.
pub fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let field = br#"{\"crc32\":\""#;
    if let Some(place) =
        file.windows(field.len()).position(|window| window == field).map(|at| at + field.len())
        && place + 8 <= file.len()
    {
        file[place..place + 8].copy_from_slice(b"00000000");
        let crc = format!("{:08x}", crc32fast::hash(&file));
        file[place..place + 8].copy_from_slice(crc.as_bytes());
    }
    file
}
