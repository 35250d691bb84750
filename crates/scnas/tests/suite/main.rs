//! Tests of the method, as one program: it links once.

#[path = "../made_up/mod.rs"]
mod made_up;

mod cache;
mod decide;
mod loss;
mod network;
mod race;
mod ranks;
mod run;
