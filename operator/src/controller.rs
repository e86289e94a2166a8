//! Keeps what pipelines describe true.

pub mod build;
pub mod model;
pub mod validate;

#[cfg(test)]
mod fixtures;
