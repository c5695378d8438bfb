//! Random programs of verbs, one after the other, for comparing a driver with something that is known to be
//! right: answers, lists and counts.
//!
//! A [`Step`] says what to do relative to what is there, so that a program keeps its meaning when steps
//! before it are taken away; a [`World`] turns it into a [`Request`].

mod request;
mod step;
mod world;

pub(crate) use self::request::{Reply, Request};
pub(crate) use self::step::{Step, Verbs, step};
pub(crate) use self::world::World;
