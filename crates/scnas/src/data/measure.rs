//! What normalisation has to know of the training cases.

use medvol::{CtStatistics, Normalisation};

use crate::data::kept::KeptCase;
use crate::data::plan::Plan;
use crate::error::{CasesFault, Result};

impl Plan {
    /// Measures what the normalisation needs to know of the training cases, unless it is known, and
    /// then normalises these cases and the `others`, which were preprocessed by this plan.
    ///
    /// # Errors
    /// [`CasesFault::NothingToMeasure`]; samples that cannot be read back from the disk.
    pub fn measure(&mut self, training: &mut [KeptCase], others: &mut [KeptCase]) -> Result<()> {
        for (n, channel) in self.normalisation.iter_mut().enumerate() {
            let Normalisation::Ct { statistics: statistics @ None } = channel else { continue };
            let samples = training.iter().map(|case| case.sample(n)).collect::<Result<Vec<_>>>()?;
            let measured = CtStatistics::measure(&samples);
            let measured = measured.ok_or(CasesFault::NothingToMeasure { channel: n })?;
            for case in training.iter_mut().chain(&mut *others) {
                case.normalise(n, measured);
            }
            *statistics = Some(measured);
        }
        Ok(())
    }
}
