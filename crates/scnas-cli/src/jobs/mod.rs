//! Work as data: a command as a list of tasks, each an ordinary command on an ordinary folder, that
//! anything which starts processes can walk; what does one of them; how they all stand; and their
//! way to a batch scheduler.

pub mod list;
pub mod plan;
mod record;
mod shell;
pub mod slurm;
mod standing;
pub mod status;
pub mod worker;
