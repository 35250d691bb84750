//! Tests of the method, as one program: it links once.

mod cache;
mod decide;
mod loss;
mod network;
mod race;
mod run;
