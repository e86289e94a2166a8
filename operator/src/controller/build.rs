//! Makes the objects of a pipeline. Pure, and never fails.
