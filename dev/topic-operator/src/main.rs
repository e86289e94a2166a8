//! Answers `KafkaTopic`s as the Topic Operator of Strimzi was seen to.

fn main() {}
