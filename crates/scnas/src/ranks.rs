//! Processes that do one piece of work together, each with a share of the patches of every step
//! (data parallelism). All of them run the same program; the first of them alone writes and speaks.
//!
//! No sum depends on who is faster: what the ranks give is added in their order.

use std::fmt::Debug;
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Values of a gradient that are added up in one go.
const CHUNK: usize = 1 << 20;

/// A process and those it works with. They call the same methods in the same order.
pub trait Ranks: Debug + Sync {
    /// Its number, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn count(&self) -> usize;

    /// The bytes of all ranks, in their order. Every rank gives as many.
    fn gather(&self, own: &[u8]) -> Vec<u8>;

    /// What all ranks have for this one, in their order, of bytes that are equal parts for all ranks,
    /// in their order too.
    fn exchange(&self, own: &[u8]) -> Vec<u8>;

    /// Hears that all ranks were asked to stop, and will.
    fn stopping(&self) {}
}

/// A process that works by itself.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn gather(&self, own: &[u8]) -> Vec<u8> {
        own.to_vec()
    }

    fn exchange(&self, own: &[u8]) -> Vec<u8> {
        own.to_vec()
    }
}

impl dyn Ranks + '_ {
    /// Whether there is no other.
    pub fn is_alone(&self) -> bool {
        self.count() == 1
    }

    /// Whether it is the one that writes and speaks.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Its run of `len` things that are shared out; empty where there are fewer than ranks.
    pub fn share(&self, len: usize) -> Range<usize> {
        let (rank, count) = (self.rank(), self.count());
        len * rank / count..len * (rank + 1) / count
    }

    /// Replaces values by their sums over all ranks.
    pub fn add(&self, values: &mut [f64]) {
        if self.is_alone() || values.is_empty() {
            return;
        }
        let all: Vec<f64> =
            bytemuck::pod_collect_to_vec(&self.gather(bytemuck::cast_slice(values)));
        let mut ranks = all.chunks_exact(values.len());
        values.copy_from_slice(ranks.next().unwrap_or_default());
        for of_rank in ranks {
            values.iter_mut().zip(of_rank).for_each(|(sum, value)| *sum += value);
        }
    }

    /// As [`add`](Self::add), of values that lie apart.
    pub fn add_each(&self, values: Vec<&mut f64>) {
        let mut sums: Vec<f64> = values.iter().map(|value| **value).collect();
        self.add(&mut sums);
        values.into_iter().zip(sums).for_each(|(value, sum)| *value = sum);
    }

    /// As [`add`](Self::add), for many values: each rank adds up a part of them and hands it to all.
    pub fn add_many(&self, values: &mut [f32]) {
        if self.is_alone() {
            return;
        }
        for values in values.chunks_mut(CHUNK) {
            let part = values.len().div_ceil(self.count());
            let mut padded = values.to_vec();
            padded.resize(part * self.count(), 0.0);
            let all: Vec<f32> =
                bytemuck::pod_collect_to_vec(&self.exchange(bytemuck::cast_slice(&padded)));
            let mut sums = vec![0.0_f64; part];
            for of_rank in all.chunks_exact(part) {
                sums.iter_mut().zip(of_rank).for_each(|(sum, value)| *sum += f64::from(*value));
            }
            let sums: Vec<f32> = sums.into_iter().map(|sum| sum as f32).collect();
            let sums: Vec<f32> =
                bytemuck::pod_collect_to_vec(&self.gather(bytemuck::cast_slice(&sums)));
            values.copy_from_slice(&sums[..values.len()]);
        }
    }

    /// Whether it is so on any rank.
    pub fn any(&self, own: bool) -> bool {
        if self.is_alone() { own } else { self.gather(&[own.into()]).contains(&1) }
    }

    /// Goes on when all have come so far.
    pub fn wait(&self) {
        self.any(false);
    }

    /// Whether all ranks have the same number.
    pub fn agree(&self, own: u64) -> bool {
        self.is_alone()
            || self.gather(&own.to_le_bytes()).chunks_exact(8).all(|of| of == own.to_le_bytes())
    }

    /// What each rank has to tell, in their order.
    ///
    /// # Errors
    /// What cannot be written as JSON and read again.
    pub fn tell<T: Serialize + DeserializeOwned>(&self, own: &T) -> Result<Vec<T>> {
        let mut text = serde_json::to_vec(own)?;
        let lengths: Vec<u64> =
            bytemuck::pod_collect_to_vec(&self.gather(bytemuck::bytes_of(&(text.len() as u64))));
        let longest = lengths.iter().copied().max().unwrap_or(0) as usize;
        text.resize(longest, b' ');
        let all = self.gather(&text);
        all.chunks_exact(longest.max(1)).map(|text| Ok(serde_json::from_slice(text)?)).collect()
    }

    /// What the first rank found, for all; the others wait for it.
    ///
    /// # Errors
    /// Those of `find`, on the first rank; those of [`tell`](Self::tell).
    pub fn of_first<T: Serialize + DeserializeOwned>(
        &self,
        find: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if self.is_alone() {
            return find();
        }
        // In a tuple, as JSON does not tell a found `None` from nothing.
        let own = self.is_first().then(|| Ok::<_, Error>((find()?,))).transpose()?;
        let (found,) = self.tell(&own)?.swap_remove(0).ok_or(Error::RanksDiffer)?;
        Ok(found)
    }
}
