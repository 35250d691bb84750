//! Room on the disk.

use std::path::Path;

/// Bytes free for this user where `folder`, or the nearest folder above it that is there, lies; where
/// the system tells.
pub fn free(folder: &Path) -> Option<u64> {
    #[cfg(unix)]
    return folder
        .ancestors()
        .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
        .find_map(|folder| rustix::fs::statvfs(folder).ok())
        .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    #[cfg(not(unix))]
    return None;
}
