//! Tests of what reads, checks, prepares and scores volumes, as one program: it links once.

mod common;
mod memory;

mod check;
mod check_geometry;
mod dataset;
mod dialects;
mod dicom;
mod dicom_hostile;
mod formats;
mod geometry;
mod hostile;
mod hostile_formats;
mod judges;
mod layouts;
mod lists;
mod metrics;
mod nearly;
mod nifti;
mod nifti_writing;
mod normalisation;
mod odd;
mod one_pass;
mod preprocess;
mod real_data;
mod regions;
mod resample;
mod sliding;
mod unsaid;
